//! Reads files and directories that a user or an operator names: bounded, no links followed.
#![forbid(unsafe_code)]
