//! URLs with several hosts: `SCHEME://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]…][/PATH][?NAME=VALUE&…]`.

use percent_encoding::percent_decode_str;

/// What such a URL says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) login: Option<(String, String)>,
    /// As they stand there, separated by commas.
    pub(super) hosts: String,
    pub(super) path: String,
    pub(super) options: Vec<(String, String)>,
}

fn decoded(text: &str) -> Result<String, String> {
    let text = percent_decode_str(text).decode_utf8();
    text.map(Into::into).map_err(|_| "the URL is no UTF-8".to_owned())
}

impl Parts {
    /// Reads a URL, or says what is wrong with it.
    pub(super) fn parse(url: &str) -> Result<Parts, String> {
        let rest = url.split_once("://").map_or("", |(_, rest)| rest);
        let (address, options) = rest.split_once('?').unwrap_or((rest, ""));
        let (hosts, path) = address.split_once('/').unwrap_or((address, ""));
        let (login, hosts) =
            hosts.rsplit_once('@').map_or((None, hosts), |(login, hosts)| (Some(login), hosts));
        if hosts.is_empty() {
            return Err("the URL names no host".to_owned());
        }
        let login = match login.map(|login| login.split_once(':')) {
            None => None,
            Some(Some((user, password))) => Some((decoded(user)?, decoded(password)?)),
            Some(None) => return Err("the URL has a user without a password".to_owned()),
        };
        let option = |option: &str| match option.split_once('=') {
            Some((name, value)) => Ok((name.to_owned(), decoded(value)?)),
            None => Err(format!("'{option}' has no value")),
        };
        let options = options.split('&').filter(|option| !option.is_empty()).map(option);
        Ok(Parts {
            login,
            hosts: hosts.to_owned(),
            path: decoded(path)?,
            options: options.collect::<Result<_, String>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_hosts_a_login_and_options() {
        let parts = Parts::parse("x://me:p%40ss@a:1,b/path?one=1&two=%20").unwrap();
        assert_eq!(parts.login, Some(("me".to_owned(), "p@ss".to_owned())));
        assert_eq!((&*parts.hosts, &*parts.path), ("a:1,b", "path"));
        let option = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(parts.options, [option("one", "1"), option("two", " ")]);
        let plain = Parts { hosts: "h".to_owned(), ..Parts::default() };
        assert_eq!(Parts::parse("x://h"), Ok(plain));
        for wrong in ["x://", "x://user@h", "x://h?one", "x://h/%FF"] {
            assert!(Parts::parse(wrong).is_err(), "{wrong}");
        }
    }
}
