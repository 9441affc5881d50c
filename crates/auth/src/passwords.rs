//! Passwords: rules, hashing and comparison.
//!
//! bcrypt reads 72 bytes and stops at NUL, so it is given a fixed 44 characters instead: base64 of
//! an HMAC of the normalised password. The pepper in that HMAC makes a stolen table useless
//! without the master key. Hashing takes a quarter of a second of a core: whoever calls must
//! bound how many run at once.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::Faults;
use ring::hmac;
use secrecy::{ExposeSecret, SecretString};
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use crate::PasswordError;

/// The prefix of stored hashes; hashes without it have another scheme.
const SCHEME: &str = "tg1";
const COST: u32 = 12;
/// A hash of this scheme and cost that belongs to no user.
const DECOY: &str = "tg1$2b$12$L6Bc/AlTQHyd9liGgGEZyOFLPHNgyxeEPfgYfBCVxJ7JIlwxyVU3u";
/// Beginnings of common passwords, one per line.
const COMMON: &str = include_str!("common_passwords.txt");

/// Hashes passwords and compares them. Cheap to clone.
#[derive(Clone)]
pub struct Passwords {
    pepper: hmac::Key,
    cost: u32,
}

/// The result of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The password is right.
    Right,
    /// The password is right, but its hash has another cost and should be renewed.
    RightButOutdated,
    /// The password is wrong.
    Wrong,
}

impl Passwords {
    /// Fewest bytes of a password.
    pub const MIN: usize = 10;
    /// Most bytes of a password.
    pub const MAX: usize = 256;

    pub(crate) fn new(pepper: hmac::Key) -> Self {
        Self { pepper, cost: COST }
    }

    /// Returns the same with another cost, for tests. Such hashes are renewed at the next sign-in
    /// with the real cost.
    pub fn at_cost(self, cost: u32) -> Self {
        Self { cost, ..self }
    }

    /// Returns the faults of `password` for the user `username`.
    pub fn faults(username: &str, password: &SecretString) -> Faults {
        let mut faults = Faults::default();
        let text = password.expose_secret();
        if !(Self::MIN..=Self::MAX).contains(&text.len()) {
            let message = format!("must be {} to {} bytes", Self::MIN, Self::MAX);
            faults.add("password", message);
        } else if let Some(reason) = guessable(username, text) {
            faults.add("password", reason);
        }
        faults
    }

    /// Returns the hash to store.
    ///
    /// # Errors
    ///
    /// Returns an error if the hash function fails.
    pub fn hash(&self, password: &SecretString) -> Result<String, PasswordError> {
        let hash = bcrypt::non_truncating_hash(self.prepared(password), self.cost)
            .map_err(|_| PasswordError::Hashing)?;
        Ok(format!("{SCHEME}{hash}"))
    }

    /// Compares `password` with the stored hash.
    ///
    /// # Errors
    ///
    /// Returns an error if the stored hash has an unknown form.
    pub fn compare(&self, password: &SecretString, stored: &str) -> Result<Verdict, PasswordError> {
        let hash = stored.strip_prefix(SCHEME).ok_or(PasswordError::StoredHash)?;
        let cost = hash.parse::<bcrypt::HashParts>().map_err(|_| PasswordError::StoredHash)?;
        let right = bcrypt::non_truncating_verify(self.prepared(password), hash)
            .map_err(|_| PasswordError::StoredHash)?;
        Ok(match (right, cost.get_cost() == self.cost) {
            (true, true) => Verdict::Right,
            (true, false) => Verdict::RightButOutdated,
            (false, _) => Verdict::Wrong,
        })
    }

    /// Does the work of a comparison for a user who does not exist, so that the time an answer
    /// takes does not tell who does.
    pub fn compare_with_nothing(&self, password: &SecretString) {
        let decoy = DECOY.replacen("$12$", &format!("${:02}$", self.cost), 1);
        let verdict = self.compare(password, &decoy);
        debug_assert!(verdict.is_ok(), "the decoy is a readable hash");
    }

    fn prepared(&self, password: &SecretString) -> Zeroizing<String> {
        let normal: Zeroizing<String> = Zeroizing::new(password.expose_secret().nfc().collect());
        Zeroizing::new(STANDARD.encode(hmac::sign(&self.pepper, normal.as_bytes())))
    }
}

/// Returns why a password is easy to guess, if it is.
fn guessable(username: &str, password: &str) -> Option<&'static str> {
    let lower = password.to_lowercase();
    let username = username.trim().to_lowercase();
    if username.len() >= 3 && lower.contains(&username) {
        return Some("must not contain the user name");
    }
    let chars: Vec<char> = lower.chars().collect();
    let steps: Vec<i64> = chars
        .windows(2)
        .map(|pair| i64::from(pair[1] as u32) - i64::from(pair[0] as u32))
        .collect();
    let straight = steps.iter().filter(|step| (-1..=1).contains(*step)).count();
    let mut distinct = chars.clone();
    distinct.sort_unstable();
    distinct.dedup();
    if distinct.len() < 5 || straight * 4 >= steps.len() * 3 {
        return Some("must not be one character, one sequence or one short pattern repeated");
    }
    let core = lower.trim_matches(|c: char| !c.is_alphabetic());
    let unleet_all = |text: &str| text.chars().map(unleet).collect::<String>();
    let spellings = [lower.clone(), core.to_owned(), unleet_all(core), unleet_all(&lower)];
    if COMMON.lines().any(|word| spellings.iter().any(|spelling| spelling == word)) {
        return Some("must not be a common password, nor one with digits or signs around it");
    }
    None
}

/// Returns the letter that a digit or sign usually replaces.
fn unleet(c: char) -> char {
    match c {
        '0' => 'o',
        '1' | '!' => 'i',
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' => 't',
        other => other,
    }
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passwords(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MasterKey;

    fn passwords() -> Passwords {
        MasterKey::generate().passwords().at_cost(4)
    }

    #[test]
    fn a_password_is_recognised_and_another_is_not() {
        let passwords = passwords();
        let stored = passwords.hash(&"correct horse battery".into()).unwrap();
        assert!(stored.starts_with("tg1$2b$04$"));
        let compare = |text: &str| passwords.compare(&text.into(), &stored).unwrap();
        assert_eq!(compare("correct horse battery"), Verdict::Right);
        assert_eq!(compare("correct horse batterY"), Verdict::Wrong);
        assert_eq!(compare(""), Verdict::Wrong);
    }

    #[test]
    fn every_byte_counts_beyond_72_and_after_nul() {
        let passwords = passwords();
        let long = "x".repeat(200);
        let stored = passwords.hash(&format!("{long}1").into()).unwrap();
        assert_eq!(passwords.compare(&format!("{long}2").into(), &stored), Ok(Verdict::Wrong));
        let stored = passwords.hash(&"one\0two".into()).unwrap();
        assert_eq!(passwords.compare(&"one\0three".into(), &stored), Ok(Verdict::Wrong));
    }

    #[test]
    fn two_spellings_of_one_letter_are_the_same_password() {
        let passwords = passwords();
        let stored = passwords.hash(&"Zu\u{308}rich am See".into()).unwrap();
        assert_eq!(passwords.compare(&"Z\u{fc}rich am See".into(), &stored), Ok(Verdict::Right));
    }

    #[test]
    fn the_pepper_is_needed_to_compare() {
        let stored = passwords().hash(&"correct horse battery".into()).unwrap();
        let verdict = passwords().compare(&"correct horse battery".into(), &stored);
        assert_eq!(verdict, Ok(Verdict::Wrong));
    }

    #[test]
    fn a_hash_of_another_cost_is_right_but_outdated() {
        let passwords = passwords();
        let stored = passwords.clone().at_cost(5).hash(&"correct horse battery".into()).unwrap();
        let verdict = passwords.compare(&"correct horse battery".into(), &stored);
        assert_eq!(verdict, Ok(Verdict::RightButOutdated));
    }

    #[test]
    fn what_is_no_hash_of_ours_is_an_error_and_never_a_match() {
        for stored in ["", "plain", "$2b$04$abc", "tg1", "tg1$2b$99$x"] {
            let compared = passwords().compare(&"correct horse battery".into(), stored);
            assert_eq!(compared, Err(PasswordError::StoredHash), "{stored}");
        }
    }

    #[test]
    fn the_decoy_is_readable_at_every_cost() {
        assert_eq!(passwords().compare(&"x".into(), DECOY), Ok(Verdict::Wrong));
        passwords().compare_with_nothing(&"x".into());
        assert!(DECOY.contains(&format!("${COST}$")));
    }

    #[test]
    fn only_passwords_that_are_hard_to_guess_are_accepted() {
        let check = |username: &str, password: &str, accepted: bool| {
            let faults = Passwords::faults(username, &password.into());
            assert_eq!(faults.0.is_empty(), accepted, "{password}: {faults}");
        };
        check("admin", "correct horse battery", true);
        check("admin", "vK9#mQ2$xL", true);
        check("admin", "密码要足够长才行", true);
        check("admin", "short", false);
        check("admin", &"x7".repeat(200), false);
        check("admin", "my-ADMIN-words", false);
        check("admin", "aaaaaaaaaaaa", false);
        check("admin", "abababababab", false);
        check("admin", "1234567890", false);
        check("admin", "abcdefghijkl", false);
        check("admin", "Password123!", false);
        check("admin", "P@ssw0rd2026", false);
        check("admin", "qwertyuiop", false);
        check("admin", "Tollgate2026!", false);
        check("lin", "Iloveyou2024!!", false);
        check("li", "online-shopping", true);
    }
}
