//! A small host: what names mean, what processes are, what they ask for.

use model::policy::{Container, Operation};

use super::oracle::Past;
use crate::network::Endpoint;
use crate::subjects::Resolve;

/// One program that a process runs or ran.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    pub(crate) executable: &'static str,
    pub(crate) script: Option<&'static str>,
    pub(crate) hash: [u8; 32],
    pub(crate) user: u32,
    pub(crate) groups: Vec<u32>,
    pub(crate) cgroup: u64,
    pub(crate) login: bool,
}

/// What a request is about.
#[derive(Debug, Clone)]
pub(crate) enum Thing {
    Path(Vec<u8>),
    Hash([u8; 32]),
    Capability(u8),
    /// A file made by a process.
    CreatedBy(Past),
    Process(Past),
    /// A peer and the names that resolved to it.
    Peer(Endpoint, Vec<String>),
    Nothing,
}

#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) operation: Operation,
    pub(crate) thing: Thing,
}

pub(crate) fn user(name: &str) -> Option<u32> {
    match name {
        "root" | "0" => Some(0),
        "alice" => Some(1000),
        _ => name.parse().ok(),
    }
}

pub(crate) fn group(name: &str) -> Option<u32> {
    match name {
        "wheel" => Some(10),
        _ => name.parse().ok(),
    }
}

pub(crate) fn cgroups(path: &str) -> Vec<u64> {
    match path {
        "/a" => vec![1, 2],
        "/a/b" => vec![2],
        _ => Vec::new(),
    }
}

pub(crate) fn units(name: &str) -> Vec<u64> {
    if name == "x.service" { vec![2, 3] } else { Vec::new() }
}

pub(crate) fn containers(container: &Container) -> Vec<u64> {
    if container.name.as_deref() == Some("web") { vec![3] } else { Vec::new() }
}

pub(crate) struct Host;

impl Resolve for Host {
    fn user(&self, name: &str) -> Option<u32> {
        user(name)
    }

    fn group(&self, name: &str) -> Option<u32> {
        group(name)
    }

    fn cgroups(&self, path: &str) -> Vec<u64> {
        cgroups(path)
    }

    fn units(&self, name: &str) -> Vec<u64> {
        units(name)
    }

    fn containers(&self, container: &Container) -> Vec<u64> {
        containers(container)
    }
}
