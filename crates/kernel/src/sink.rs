//! Where sources that live in user space put their records.

/// Takes finished records, and tells of those that could not be made.
pub trait Sink {
    /// One record of `wire.h`, its length equal to `len` in the header.
    fn submit(&mut self, ring: u32, record: &mut [u8]);

    /// `count` records were lost for `ring`; `cause` is an `enum loss` of `wire.h`.
    fn lost(&mut self, ring: u32, cause: u32, count: u64);
}
