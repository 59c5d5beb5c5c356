//! Policies on their way from files to what is enforced.
//!
//! | module | does |
//! |---|---|
//! | [`adhoc`] | rules made at the command line |
//! | [`bundles`] | signed bundles, and whose word is enough for them |
//! | [`load`] | files, texts, tables: each step a type, findings in between |
//! | [`advice`] | what the tables tell about policies, as findings with places |
//! | [`offer`] | what a way of enforcing can do, and what is refused therefore |
//! | [`undecided`] | what they may say and nobody decides yet |
//! | [`store`] | generations on disk: staged, in force, gone back to |
//! | [`deploy`] | puts policies in force, or goes back |
//! | [`running`] | a running agent, which carries them out |
//! | [`words`] | requests, answers and rules for people |

pub(crate) mod adhoc;
pub(crate) mod advice;
pub(crate) mod bundles;
pub(crate) mod deploy;
pub(crate) mod load;
pub(crate) mod offer;
pub(crate) mod pins;
pub(crate) mod running;
pub(crate) mod store;
pub(crate) mod undecided;
pub(crate) mod words;

/// Where policies are unless said otherwise.
pub(crate) const POLICIES_DIR: &str = "/etc/aegisbpf/policies.d";
/// Where the agent keeps what must survive it.
pub(crate) const STATE_DIR: &str = "/var/lib/aegisbpf";
