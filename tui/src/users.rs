//! User names of uids.

use nix::unistd::{Uid, User};
use std::cell::RefCell;
use std::collections::HashMap;

/// Looks names up once each: the user database may be a server.
#[derive(Debug, Default)]
pub struct Users(RefCell<HashMap<u32, Option<String>>>);

impl Users {
    /// The user's name, where the system knows it.
    pub fn name(&self, uid: u32) -> Option<String> {
        let look_up = || {
            let user = User::from_uid(Uid::from_raw(uid)).ok().flatten()?;
            Some(shm_layout::text::clean(user.name.as_bytes()))
        };
        self.0.borrow_mut().entry(uid).or_insert_with(look_up).clone()
    }

    /// The user's name, else the number.
    pub fn label(&self, uid: u32) -> String {
        self.name(uid).unwrap_or_else(|| uid.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::Users;

    #[test]
    fn the_unknown_keep_their_number() {
        let users = Users::default();
        assert_eq!(users.name(0).as_deref(), Some("root"));
        assert_eq!(users.name(4_123_456_789), None);
        assert_eq!(users.label(4_123_456_789), "4123456789");
    }
}
