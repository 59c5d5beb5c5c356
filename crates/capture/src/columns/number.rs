//! Numbers of as many bytes as they need: seven bits a byte, the lowest first.

use super::BadColumns;

/// Bytes of the longest number.
const BYTES_MAX: u32 = 10;

/// Adds a number.
pub(super) fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

/// Adds a difference: small ones of either sign take one byte.
pub(super) fn put_signed(out: &mut Vec<u8>, number: i64) {
    put(out, (number.cast_unsigned() << 1) ^ (number >> 63).cast_unsigned());
}

/// What is left of a column.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rest<'c>(pub(super) &'c [u8]);

impl<'c> Rest<'c> {
    pub(super) fn byte(&mut self) -> Result<u8, BadColumns> {
        let (first, rest) = self.0.split_first().ok_or(BadColumns::Short)?;
        self.0 = rest;
        Ok(*first)
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'c [u8], BadColumns> {
        let (head, rest) = self.0.split_at_checked(len).ok_or(BadColumns::Short)?;
        self.0 = rest;
        Ok(head)
    }

    pub(super) fn number(&mut self) -> Result<u64, BadColumns> {
        let mut number = 0;
        for at in 0..BYTES_MAX {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(BadColumns::Name)
    }

    pub(super) fn signed(&mut self) -> Result<i64, BadColumns> {
        let number = self.number()?;
        Ok((number >> 1).cast_signed() ^ -((number & 1).cast_signed()))
    }

    pub(super) fn len(&mut self, max: usize) -> Result<usize, BadColumns> {
        let len = usize::try_from(self.number()?).ok().filter(|len| *len <= max);
        len.ok_or(BadColumns::Name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        let mut out = Vec::new();
        let numbers = [0, 1, -1, 63, -64, 64, i64::MAX, i64::MIN, 1 << 40];
        for number in &numbers {
            put_signed(&mut out, *number);
        }
        put(&mut out, u64::MAX);
        let mut rest = Rest(&out);
        for number in numbers {
            assert_eq!(rest.signed(), Ok(number));
        }
        assert_eq!((rest.number(), rest.0), (Ok(u64::MAX), &[][..]));
        assert_eq!(rest.number(), Err(BadColumns::Short));
        assert_eq!(Rest(&[0x80; 11]).number(), Err(BadColumns::Name), "longer than any");
    }
}
