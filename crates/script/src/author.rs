//! How a source becomes a script.
