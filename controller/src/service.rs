//! The systemd unit, rendered rather than shipped, so that its paths are those of this installation.

use std::path::Path;

use croft_domain::code::Code;
use tera::{Context, Tera};

const TEMPLATE: &str = include_str!("service.unit");

/// The unit cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum UnitError {
    /// A path would be read as something else by systemd.
    #[error("{0}: expected an absolute path of letters, digits and /._-")]
    Path(String),
    /// The template does not render, which is a defect of ours.
    #[error("cannot render the unit")]
    Render(#[from] tera::Error),
}

impl UnitError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Path(_) => Code::Input,
            Self::Render(_) => Code::Internal,
        }
    }
}

/// The unit for `executable` with its state in `state`.
///
/// # Errors
/// If a path holds what systemd would expand or split.
pub fn unit(executable: &Path, state: &Path) -> Result<String, UnitError> {
    let mut tera = Tera::default();
    tera.add_raw_template("service.unit", TEMPLATE)?;
    let mut context = Context::new();
    context.insert("executable", plain(executable)?);
    context.insert("state", plain(state)?);
    Ok(tera.render("service.unit", &context)?)
}

fn plain(path: &Path) -> Result<&str, UnitError> {
    let refuse = || UnitError::Path(path.display().to_string());
    let text = path.to_str().ok_or_else(refuse)?;
    let is_plain = text.starts_with('/')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'.' | b'_' | b'-'));
    if is_plain { Ok(text) } else { Err(refuse()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_hardened_and_names_the_paths() {
        let unit =
            unit(Path::new("/usr/bin/croft-controller"), Path::new("/var/lib/croft-controller")).unwrap();
        assert!(unit.contains("ExecStart=/usr/bin/croft-controller run --state /var/lib/croft-controller\n"));
        for line in
            ["NoNewPrivileges=yes", "ProtectSystem=strict", "SystemCallFilter=@system-service", "UMask=0077"]
        {
            assert!(unit.contains(line), "{line}");
        }
        assert!(!unit.contains("{{") && !unit.contains("&#"));
    }

    #[test]
    fn a_path_that_systemd_would_expand_is_refused() {
        for odd in ["/a b", "/a%h", "relative", "/a\nExecStartPre=/bin/sh"] {
            assert!(unit(Path::new(odd), Path::new("/state")).is_err(), "{odd}");
        }
    }
}
