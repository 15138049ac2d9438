//! The kernel's own device-mapper table, which only root may read. A `dm/uuid` can be forged by root and says nothing of
//! a null cipher; the table cannot and does.

/// What a table says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Table {
    /// Every target is `crypt` with a real cipher.
    Encrypts,
    /// Some target is not; its name.
    DoesNot(String),
}

/// Each line: `START LENGTH TARGET ARGUMENTS…`; for `crypt` the first argument is the cipher.
pub(super) fn parse(text: &str) -> Option<Table> {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty()).peekable();
    lines.peek()?;
    for line in lines {
        let mut words = line.split_whitespace().skip(2);
        let target = words.next()?;
        let cipher = words.next().unwrap_or_default();
        if target != "crypt" || cipher.contains("cipher_null") {
            return Some(Table::DoesNot(if target == "crypt" {
                cipher.to_owned()
            } else {
                target.to_owned()
            }));
        }
    }
    Some(Table::Encrypts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p5_a_null_cipher_and_a_forged_name_do_not_encrypt() {
        let crypt = "0 65536 crypt aes-xts-plain64 :64:logon:cryptsetup:x 0 7:0 32768\n";
        assert_eq!(parse(crypt), Some(Table::Encrypts));
        let null = "0 65536 crypt cipher_null-ecb - 0 7:7 0";
        assert_eq!(parse(null), Some(Table::DoesNot("cipher_null-ecb".to_owned())));
        let forged = format!("{crypt}65536 10 linear 7:8 0\n");
        assert_eq!(parse(&forged), Some(Table::DoesNot("linear".to_owned())));
        assert_eq!(parse(""), None);
        assert_eq!(parse("garbage"), None);
    }
}
