//! What tells a finding from all others, made from what it is about.

/// The fingerprint of what makes a finding what it is: 16 hexadecimal digits.
pub fn fingerprint(identity: &str) -> String {
    format!("{:016x}", hash(identity))
}

/// FNV-1a of 64 bits: the same on every machine and in every version, which the hashers of the standard library are not.
fn hash(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(
            (hash(""), hash("a"), hash("foobar")),
            (0xcbf2_9ce4_8422_2325, 0xaf63_dc4c_8601_ec8c, 0x8594_4171_f739_67e8)
        );
    }
}
