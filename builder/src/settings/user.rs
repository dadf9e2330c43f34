//! Who an app runs as.

use lapstrake_oci::tree::Owner;

/// A text that names no user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no user: write `UID` or `UID:GID` as numbers, or `root`")]
pub struct UserError {
    /// The text.
    pub text: String,
}

/// Reads `UID`, `UID:GID` or `root`. The group of a user alone has the user's number.
///
/// Names of the image's own password file are not understood: `/app` has to be given to the user before there is an
/// image.
pub fn parse(text: &str) -> Result<Owner, UserError> {
    let fail = || UserError { text: text.to_owned() };
    let number = |part: &str| {
        let is_number = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        // The last number means "no user" to the kernel.
        part.parse::<u32>().ok().filter(|number| is_number && *number != u32::MAX)
    };
    if matches!(text, "root" | "root:root") {
        return Ok(Owner { uid: 0, gid: 0 });
    }
    let (user, group) = text.split_once(':').unwrap_or((text, text));
    let (uid, gid) = (number(user).ok_or_else(fail)?, number(group).ok_or_else(fail)?);
    Ok(Owner { uid, gid })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_numbers_or_root() {
        assert_eq!(parse("1001"), Ok(Owner { uid: 1001, gid: 1001 }));
        assert_eq!(parse("1001:0"), Ok(Owner { uid: 1001, gid: 0 }));
        assert_eq!(parse("root"), Ok(Owner { uid: 0, gid: 0 }));
        for text in ["", ":", "1:", ":1", "www-data", "-1", "+1", "1:2:3", "4294967295", "1.5"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
