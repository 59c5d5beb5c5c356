//! Bills of materials: what is linked into the programs, in the two forms that tools read, SPDX 2.3 and CycloneDX 1.5.
//! Both come from what cargo itself resolved, and tell the time of the source, so that the same source gives the same
//! bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{BINARIES, VERSION, created, epoch, folder};
use crate::sh;

/// What the programs are built for.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";
const HOME: &str = "https://github.com/aegisbpf/aegisbpf";

/// Both bills, into the folder of packages.
pub(super) fn make() -> Result<PathBuf> {
    let place = created(folder()?.join("sbom"))?;
    write(&place)?;
    Ok(place)
}

/// Both bills, into a directory; their files.
pub(super) fn write(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut ask = sh::cargo();
    ask.args(["metadata", "--format-version", "1", "--locked", "--filter-platform", PLATFORM]);
    let metadata: Value = serde_json::from_str(&sh::capture(&mut ask)?)?;
    let parts = Parts::of(&metadata, &fs::read_to_string(sh::at("Cargo.lock"))?)?;
    let when = sh::capture(sh::cmd("date").args([
        "-u",
        "-d",
        &format!("@{}", epoch()?),
        "+%Y-%m-%dT%H:%M:%SZ",
    ]))?;
    let bills = [("spdx", parts.spdx(when.trim())), ("cdx", parts.cyclonedx(when.trim()))];
    let mut files = Vec::new();
    for (form, bill) in bills {
        let file = directory.join(format!("aegisbpf.{form}.json"));
        fs::write(&file, format!("{bill:#}\n"))?;
        files.push(file);
    }
    Ok(files)
}

/// One crate.
#[derive(Debug)]
struct Part {
    name: String,
    version: String,
    licence: Option<String>,
    /// Of the archive on crates.io; what is of this repository has none.
    sha256: Option<String>,
    needs: BTreeSet<String>,
}

/// All that is linked into the programs, by the ids of cargo.
#[derive(Debug)]
struct Parts {
    all: BTreeMap<String, Part>,
    programs: Vec<String>,
}

impl Parts {
    /// What the programs reach by dependencies that are linked; those of build scripts and tests are not.
    fn of(metadata: &Value, lock: &str) -> Result<Parts> {
        let sums = sums(lock);
        let list = |at: &str| metadata.pointer(at).and_then(Value::as_array);
        let packages = list("/packages").context("cargo names no packages")?;
        let nodes = list("/resolve/nodes").context("cargo resolves nothing")?;
        let text = |value: &Value, key: &str| value[key].as_str().map(str::to_owned);
        let programs: Vec<String> = packages
            .iter()
            .filter(|one| one["source"].is_null())
            .filter(|one| BINARIES.iter().any(|(package, _)| one["name"] == *package))
            .filter_map(|one| text(one, "id"))
            .collect();
        let mut all = BTreeMap::new();
        let mut left = programs.clone();
        while let Some(id) = left.pop() {
            if all.contains_key(&id) {
                continue;
            }
            let is_it = |one: &&Value| one["id"] == *id;
            let package = packages.iter().find(is_it).context("a package without a name")?;
            let node = nodes.iter().find(is_it).context("a package that is not resolved")?;
            let needs: BTreeSet<String> = node["deps"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|one| is_linked(one))
                .filter_map(|one| text(one, "pkg"))
                .collect();
            left.extend(needs.iter().cloned());
            let (name, version) = (
                text(package, "name").unwrap_or_default(),
                text(package, "version").unwrap_or_default(),
            );
            // The old way to write a choice.
            let licence = text(package, "license").map(|words| words.replace('/', " OR "));
            let sha256 = sums.get(&(name.as_str(), version.as_str())).map(|sum| (*sum).to_owned());
            all.insert(id, Part { name, version, licence, sha256, needs });
        }
        Ok(Parts { all, programs })
    }

    fn spdx(&self, when: &str) -> Value {
        let packages = self.all.values().map(|part| {
            let one = json!({
                "SPDXID": part.spdx_id(), "name": part.name, "versionInfo": part.version,
                "downloadLocation": part.place(), "filesAnalyzed": false,
                "licenseDeclared": part.licence.as_deref().unwrap_or("NOASSERTION"),
                "licenseConcluded": "NOASSERTION", "copyrightText": "NOASSERTION",
                "externalRefs": [{
                    "referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
                    "referenceLocator": part.purl(),
                }],
            });
            let sum = |sum| json!([{ "algorithm": "SHA256", "checksumValue": sum }]);
            with(one, "checksums", part.sha256.as_ref().map(sum))
        });
        let packages: Vec<Value> = packages.collect();
        let relation = |from: &str, how: &str, to: &Part| json!({ "spdxElementId": from, "relationshipType": how, "relatedSpdxElement": to.spdx_id() });
        let described = self.programs.iter().filter_map(|id| self.all.get(id));
        let described = described.map(|part| relation("SPDXRef-DOCUMENT", "DESCRIBES", part));
        let needed = self.all.values().flat_map(|part| {
            let from = part.spdx_id();
            let others = part.needs.iter().filter_map(|id| self.all.get(id));
            others.map(move |other| relation(&from, "DEPENDS_ON", other))
        });
        let relations: Vec<Value> = described.chain(needed).collect();
        json!({
            "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT",
            "name": format!("aegisbpf-{VERSION}"),
            "documentNamespace": format!("{HOME}/sbom/{VERSION}/{when}"),
            "creationInfo": { "created": when, "creators": ["Tool: cargo-xtask-dist"] },
            "packages": packages, "relationships": relations,
        })
    }

    fn cyclonedx(&self, when: &str) -> Value {
        let components = self.all.values().map(|part| {
            let one = json!({
                "type": "library", "bom-ref": part.purl(), "name": part.name,
                "version": part.version, "purl": part.purl(),
            });
            let words = |words| json!([{ "expression": words }]);
            let sum = |sum| json!([{ "alg": "SHA-256", "content": sum }]);
            let one = with(one, "licenses", part.licence.as_ref().map(words));
            with(one, "hashes", part.sha256.as_ref().map(sum))
        });
        let components: Vec<Value> = components.collect();
        let refs = |ids: &mut dyn Iterator<Item = &String>| {
            ids.filter_map(|id| self.all.get(id)).map(Part::purl).collect::<Vec<_>>()
        };
        let whole = format!("pkg:github/aegisbpf/aegisbpf@{VERSION}");
        let mut needs: Vec<Value> =
            vec![json!({ "ref": whole, "dependsOn": refs(&mut self.programs.iter()) })];
        needs.extend(
            self.all.values().map(
                |part| json!({ "ref": part.purl(), "dependsOn": refs(&mut part.needs.iter()) }),
            ),
        );
        json!({
            "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
            "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
            "metadata": {
                "timestamp": when,
                "component": {
                    "type": "application", "bom-ref": whole, "name": "aegisbpf", "version": VERSION,
                },
            },
            "components": components, "dependencies": needs,
        })
    }
}

impl Part {
    fn spdx_id(&self) -> String {
        let word = format!("{}-{}", self.name, self.version);
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
        format!("SPDXRef-{}", word.chars().map(plain).collect::<String>())
    }

    fn purl(&self) -> String {
        // `+` begins what a version says of its build.
        format!("pkg:cargo/{}@{}", self.name, self.version.replace('+', "%2B"))
    }

    fn place(&self) -> String {
        match self.sha256 {
            Some(_) => {
                let (name, version) = (&self.name, &self.version);
                format!("https://static.crates.io/crates/{name}/{name}-{version}.crate")
            }
            None => format!("git+{HOME}"),
        }
    }
}

/// With one more member, if there is one.
fn with(mut object: Value, name: &str, value: Option<Value>) -> Value {
    if let (Some(members), Some(value)) = (object.as_object_mut(), value) {
        members.insert(name.to_owned(), value);
    }
    object
}

fn is_linked(dependency: &Value) -> bool {
    let kinds = dependency["dep_kinds"].as_array();
    kinds.is_some_and(|kinds| kinds.iter().any(|one| one["kind"].is_null()))
}

/// Checksums by name and version; only the lock file has them.
fn sums(lock: &str) -> BTreeMap<(&str, &str), &str> {
    let entries = lock.split("[[package]]").skip(1).filter_map(|entry| {
        let value = |key: &str| {
            let line = entry.lines().find_map(|line| line.strip_prefix(key));
            line.and_then(|rest| rest.strip_prefix(" = \"")).map(|rest| rest.trim_end_matches('"'))
        };
        Some(((value("name")?, value("version")?), value("checksum")?))
    });
    entries.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program that needs `used`, which is built by `tool` and tested with `proof`.
    fn parts() -> Parts {
        let package = |id: &str, source: Value| json!({ "id": id, "name": id, "version": "1.0.0+x", "license": "MIT/Apache-2.0", "source": source });
        let need = |id: &str, kind: Value| json!({ "pkg": id, "dep_kinds": [{ "kind": kind }] });
        let registry = json!("registry+x");
        let metadata = json!({
            "packages": [
                package("agent", Value::Null), package("used", registry.clone()),
                package("tool", registry.clone()), package("proof", registry),
            ],
            "resolve": { "nodes": [
                { "id": "agent", "deps": [need("used", Value::Null), need("proof", json!("dev"))] },
                { "id": "used", "deps": [need("tool", json!("build"))] },
                { "id": "tool", "deps": [] }, { "id": "proof", "deps": [] },
            ] },
        });
        let lock = "[[package]]\nname = \"used\"\nversion = \"1.0.0+x\"\nchecksum = \"ab\"\n";
        Parts::of(&metadata, lock).unwrap()
    }

    #[test]
    fn what_is_linked_is_there_and_tools_are_not() {
        let names: Vec<String> = parts().all.into_keys().collect();
        assert_eq!(names, ["agent", "used"]);
    }

    #[test]
    fn spdx_tells_origin_licence_and_sum() {
        let bill = parts().spdx("2026-01-01T00:00:00Z");
        let used = &bill["packages"][1];
        assert_eq!(used["licenseDeclared"], "MIT OR Apache-2.0");
        assert_eq!(used["checksums"][0]["checksumValue"], "ab");
        assert_eq!(used["SPDXID"], "SPDXRef-used-1.0.0-x");
        assert_eq!(bill["packages"][0]["checksums"], Value::Null, "ours is in no registry");
        assert_eq!(bill["relationships"][1]["relatedSpdxElement"], "SPDXRef-used-1.0.0-x");
    }

    #[test]
    fn cyclonedx_names_parts_by_their_place_in_the_registry() {
        let bill = parts().cyclonedx("2026-01-01T00:00:00Z");
        assert_eq!(bill["components"][1]["purl"], "pkg:cargo/used@1.0.0%2Bx");
        assert_eq!(bill["dependencies"][1]["dependsOn"][0], "pkg:cargo/used@1.0.0%2Bx");
    }
}
