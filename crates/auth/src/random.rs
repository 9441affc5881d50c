//! Random bytes and letters, always from the operating system.

use ring::rand::{SecureRandom, SystemRandom};

/// The digits of base 62, in the order of their values.
pub(crate) const BASE62: &[u8; 62] =
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// `N` random bytes.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).expect("the operating system always has random bytes");
    bytes
}

/// Appends `count` random base-62 digits, each equally likely.
pub(crate) fn push_base62(text: &mut String, count: usize) {
    // Bytes from 248 on would favour the first digits, so they are discarded.
    const FAIR: u8 = 248;
    let mut wanted = count;
    while wanted > 0 {
        for byte in bytes::<64>().into_iter().filter(|b| *b < FAIR).take(wanted) {
            text.push(char::from(BASE62[usize::from(byte % 62)]));
            wanted -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_digit_comes_about_equally_often() {
        let mut text = String::new();
        push_base62(&mut text, 62_000);
        for digit in BASE62 {
            let seen = text.bytes().filter(|b| b == digit).count();
            assert!((800..1200).contains(&seen), "{} came {seen} times", char::from(*digit));
        }
    }

    #[test]
    fn two_draws_differ() {
        assert_ne!(bytes::<32>(), bytes::<32>());
    }
}
