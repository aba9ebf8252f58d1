//! User names of uids.

use nix::unistd::{Uid, User};
use std::cell::RefCell;
use std::collections::HashMap;

/// Looks names up once each: the user database may be a server.
#[derive(Debug, Default)]
pub struct Users {
    known: RefCell<HashMap<u32, Option<String>>>,
    // Those of another host, or of another time: nobody else is looked up.
    fixed: bool,
}

impl Users {
    /// These, and nobody else: of a recording.
    pub fn fixed(names: &[(u32, String)]) -> Self {
        let known = names.iter().map(|(uid, name)| (*uid, Some(name.clone()))).collect();
        Self { known: RefCell::new(known), fixed: true }
    }

    /// Whether they, and their processes, are of this host.
    pub const fn are_here(&self) -> bool {
        !self.fixed
    }

    /// The user's name, where the system knows it.
    pub fn name(&self, uid: u32) -> Option<String> {
        let look_up = || {
            let user = User::from_uid(Uid::from_raw(uid)).ok().flatten()?;
            Some(shm_layout::text::clean(user.name.as_bytes()))
        };
        if self.fixed {
            return self.known.borrow().get(&uid).cloned().flatten();
        }
        self.known.borrow_mut().entry(uid).or_insert_with(look_up).clone()
    }

    /// The user's name, else the number.
    pub fn label(&self, uid: u32) -> String {
        self.name(uid).unwrap_or_else(|| uid.to_string())
    }
}

/// The uid of a user that is named, or numbered.
///
/// # Errors
/// When there is no such user.
pub fn uid(text: &str) -> Result<u32, String> {
    let known = || User::from_name(text).ok().flatten().map(|user| user.uid.as_raw());
    let unknown =
        || format!("there is no user {:?} here; a uid will do as well", shm_layout::text::clean(text.as_bytes()));
    text.parse().ok().or_else(known).ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::{Users, uid};

    #[test]
    fn users_by_name_and_number() {
        assert_eq!((uid("root"), uid("0"), uid("4123456789")), (Ok(0), Ok(0), Ok(4_123_456_789)));
        assert!(uid("no such\u{1b}user").is_err_and(|why| !why.contains('\u{1b}')));
    }

    #[test]
    fn the_unknown_keep_their_number() {
        let users = Users::default();
        assert_eq!(users.name(0).as_deref(), Some("root"));
        assert_eq!(users.name(4_123_456_789), None);
        assert_eq!(users.label(4_123_456_789), "4123456789");
    }

    #[test]
    fn in_a_recording_nobody_of_this_host_is_looked_up() {
        let users = Users::fixed(&[(5, "ann".to_owned())]);
        assert_eq!((users.label(5), users.label(0)), ("ann".to_owned(), "0".to_owned()));
    }
}
