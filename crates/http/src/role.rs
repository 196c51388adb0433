//! Permissions: tokens, and how requests carry them.

use axum::http::{HeaderMap, header};

/// The permissions of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role {
    /// May read: views, their page, the state of the engine. Once there is a token of this role, reading requires one.
    Read,
    /// Push events.
    Push,
    /// Everything.
    Admin,
}

impl Role {
    /// Whether it includes the permissions of another role.
    fn includes(self, other: Role) -> bool {
        self == other || self == Role::Admin
    }
}

/// The tokens of a server.
#[derive(Clone, Default)]
pub(crate) struct Tokens(Vec<(Role, String)>);

impl Tokens {
    /// Adds a token; an empty one is ignored.
    pub(crate) fn add(&mut self, role: Role, token: &str) {
        if !token.is_empty() {
            self.0.push((role, token.to_owned()));
        }
    }

    /// Whether there is a token for a role.
    pub(crate) fn has(&self, role: Role) -> bool {
        self.0.iter().any(|(known, _)| known.includes(role))
    }

    /// Whether queries need a token.
    pub(crate) fn keep_reads(&self) -> bool {
        self.0.iter().any(|(role, _)| *role == Role::Read)
    }

    /// Whether a request has a token of this role. All are compared, in constant time.
    pub(crate) fn allow(&self, role: Role, headers: &HeaderMap) -> bool {
        let shown = headers.get(header::AUTHORIZATION).map_or(&b""[..], |shown| shown.as_bytes());
        let shown = match shown.strip_prefix(b"Basic ") {
            // A browser asks for a name and a password; the password is the token.
            Some(pair) => password(pair),
            None => shown.strip_prefix(b"Bearer ").map(<[u8]>::to_vec),
        };
        let shown = shown.unwrap_or_default();
        let tokens = self.0.iter().filter(|(known, _)| known.includes(role));
        tokens.fold(false, |found, (_, token)| is_same(token.as_bytes(), &shown) | found)
    }
}

/// The password of `name:password` in base64.
fn password(pair: &[u8]) -> Option<Vec<u8>> {
    let pair = from_base64(pair)?;
    let colon = pair.iter().position(|byte| *byte == b':')?;
    Some(pair[colon + 1..].to_vec())
}

/// RFC 4648, with padding or without.
fn from_base64(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.trim_ascii_end();
    let digits = text.strip_suffix(b"==").or(text.strip_suffix(b"=")).unwrap_or(text);
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0u32, 0);
    for digit in digits {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        (bits, count) = (bits << 6 | u32::from(value), count + 6);
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    Some(bytes)
}

/// Compares in constant time.
fn is_same(secret: &[u8], shown: &[u8]) -> bool {
    let differences = secret.iter().enumerate().fold(0u8, |differences, (at, byte)| {
        differences | (byte ^ shown.get(at).copied().unwrap_or(!byte))
    });
    std::hint::black_box(differences) == 0 && secret.len() == shown.len()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn tokens_are_compared_whole() {
        for (shown, expect) in
            [("abc", true), ("ab", false), ("abcd", false), ("abd", false), ("", false)]
        {
            assert_eq!(is_same(b"abc", shown.as_bytes()), expect, "{shown}");
        }
    }

    #[test]
    fn a_role_has_its_own_tokens_and_those_of_admin() {
        let mut tokens = Tokens::default();
        assert!(!tokens.has(Role::Push) && !tokens.keep_reads());
        tokens.add(Role::Push, "p");
        tokens.add(Role::Push, "");
        assert!(tokens.has(Role::Push) && !tokens.keep_reads());
        tokens.add(Role::Admin, "a");
        assert!(!tokens.keep_reads(), "reading stays free");
        tokens.add(Role::Read, "r:s");
        assert!(tokens.keep_reads());
        let allow = |role: Role, shown: &'static str| {
            let mut headers = HeaderMap::new();
            if !shown.is_empty() {
                headers.insert(header::AUTHORIZATION, HeaderValue::from_static(shown));
            }
            tokens.allow(role, &headers)
        };
        // "me:r:s" and ":a".
        for shown in ["Bearer r:s", "Bearer a", "Basic bWU6cjpz", "Basic OmE="] {
            assert!(allow(Role::Read, shown), "{shown}");
        }
        for shown in ["", "Bearer p", "Bearer ", "Basic !", "Basic bWU=", "r:s", "Basic bWU6"] {
            assert!(!allow(Role::Read, shown), "{shown}");
        }
        assert!(allow(Role::Push, "Bearer p") && allow(Role::Push, "Bearer a"));
        assert!(!allow(Role::Push, "Bearer r:s") && !allow(Role::Admin, "Bearer p"));
    }
}
