//! Prevention where no LSM program loads, on the running kernel: requests are tried by a process in
//! a cgroup of its own, with and without a policy. The tests need root, and say so when they are
//! skipped.

mod fallback {
    mod acts;
    mod files;
    mod judge;
    mod network;
    mod subjects;
    mod world;
}
