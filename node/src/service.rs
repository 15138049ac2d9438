//! The systemd unit that runs the daemon, hardened, for system and user mode. It is printed, never installed: putting it
//! in place is the administrator's act.

use croft_domain::evidence::Mode;
use std::path::Path;

const UNIT: &str = include_str!("service/croft-node.service.tera");

/// The unit cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the service unit")]
pub struct ServiceError(#[source] tera::Error);

/// The unit's text.
///
/// # Errors
/// [`ServiceError`] if the template does not render, which a test excludes.
pub fn unit(mode: Mode, executable: &Path) -> Result<String, ServiceError> {
    let mut context = tera::Context::new();
    context.insert("system", &(mode == Mode::System));
    context.insert("executable", &executable.display().to_string());
    tera::Tera::one_off(UNIT, &context, false).map_err(ServiceError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_and_user_units_differ_where_they_must() {
        let system = unit(Mode::System, Path::new("/usr/libexec/croft/croft-node")).expect("renders");
        let user = unit(Mode::User, Path::new("/opt/croft-node")).expect("renders");
        assert!(system.contains("User=croft") && system.contains("StateDirectory=croft"));
        assert!(!user.contains("User=") && user.contains("WantedBy=default.target"));
        for text in [&system, &user] {
            assert!(text.contains("croft-node run\n"));
            assert!(text.contains("NoNewPrivileges=yes"));
            assert!(!text.contains("{{") && !text.contains("{%"));
        }
    }
}
