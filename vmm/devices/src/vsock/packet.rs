//! The header of a packet (VIRTIO 1.2, 5.10.6): bytes to fields and back. It judges nothing.

/// A packet's header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    pub src_cid: u64,
    pub dst_cid: u64,
    pub src_port: u32,
    pub dst_port: u32,
    /// Bytes of payload.
    pub len: u32,
    /// "type" in the specification.
    pub kind: u16,
    pub op: u16,
    pub flags: u32,
    pub buf_alloc: u32,
    pub fwd_cnt: u32,
}

/// Encoded length.
pub(super) const HEADER_BYTES: usize = 44;

impl Header {
    /// The fields of an encoded header.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Self {
        let mut rest = Fields(bytes);
        Header {
            src_cid: u64::from_le_bytes(rest.take()),
            dst_cid: u64::from_le_bytes(rest.take()),
            src_port: u32::from_le_bytes(rest.take()),
            dst_port: u32::from_le_bytes(rest.take()),
            len: u32::from_le_bytes(rest.take()),
            kind: u16::from_le_bytes(rest.take()),
            op: u16::from_le_bytes(rest.take()),
            flags: u32::from_le_bytes(rest.take()),
            buf_alloc: u32::from_le_bytes(rest.take()),
            fwd_cnt: u32::from_le_bytes(rest.take()),
        }
    }

    /// The header as it stands in memory.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let fields: [&[u8]; 10] = [
            &self.src_cid.to_le_bytes(),
            &self.dst_cid.to_le_bytes(),
            &self.src_port.to_le_bytes(),
            &self.dst_port.to_le_bytes(),
            &self.len.to_le_bytes(),
            &self.kind.to_le_bytes(),
            &self.op.to_le_bytes(),
            &self.flags.to_le_bytes(),
            &self.buf_alloc.to_le_bytes(),
            &self.fwd_cnt.to_le_bytes(),
        ];
        let mut rest = &mut bytes[..];
        for field in fields {
            let (head, tail) = rest.split_at_mut(field.len());
            head.copy_from_slice(field);
            rest = tail;
        }
        bytes
    }
}

/// What of an encoded header is not read yet.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    /// The next `N` bytes; zeros past the end, where [`Header::decode`] never comes.
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let Some((field, rest)) = self.0.split_first_chunk() else {
            return [0; N];
        };
        self.0 = rest;
        *field
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fields_stand_where_the_specification_puts_them() {
        let header = Header {
            src_cid: 0x0807_0605_0403_0201,
            dst_cid: 0x100f_0e0d_0c0b_0a09,
            src_port: 0x1413_1211,
            dst_port: 0x1817_1615,
            len: 0x1c1b_1a19,
            kind: 0x1e1d,
            op: 0x201f,
            flags: 0x2423_2221,
            buf_alloc: 0x2827_2625,
            fwd_cnt: 0x2c2b_2a29,
        };
        let bytes = header.encode();
        assert!(bytes.iter().copied().eq(1..=44));
    }

    proptest! {
        #[test]
        fn decoding_and_encoding_are_inverse(bytes in proptest::array::uniform(any::<u8>())) {
            prop_assert_eq!(Header::decode(&bytes).encode(), bytes);
        }
    }
}
