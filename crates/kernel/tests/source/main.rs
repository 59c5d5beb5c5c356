//! The sources that are not BPF programs, on the kernel of this machine. Each operation is done by
//! a child process and looked for in what the source says. Needs root.

mod children;
mod collect;
mod files;
mod processes;
mod watches;
