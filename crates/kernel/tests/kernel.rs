//! The sensors on the running kernel: each test provokes an operation and looks for its record.
//! They need root, and say so when they are skipped.

mod root {
    mod act;
    mod files;
    mod harness;
    mod life;
    mod loss;
    mod net;
    mod pins;
}
