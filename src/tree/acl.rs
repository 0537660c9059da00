//! POSIX access control lists, in the form of the kernel's extended attributes.
//!
//! The mode bits are the truth about owner, mask and other; the attribute keeps what they
//! cannot say. So chmod is one change of the mode, an access list is one change of the
//! attribute (whose applying sets the mode), and two machines cannot make the two disagree.

/// The list that rules access to a file or directory.
pub const ACL_ACCESS: &[u8] = b"system.posix_acl_access";
/// The list that what is made in a directory starts with.
pub const ACL_DEFAULT: &[u8] = b"system.posix_acl_default";

/// First word of the attribute.
const VERSION: u32 = 2;
const HEAD: usize = 4;
const ENTRY: usize = 8;
/// Entries of one list: the kernel gives and takes at most a page through FUSE.
const ENTRIES_MAX: usize = (4096 - HEAD) / ENTRY;
/// What entries without a user or group have in place of one.
const NO_ID: u32 = u32::MAX;
const RWX: u16 = 0o7;
/// The nine bits of a mode that a list stands for.
const PERMISSIONS: u16 = 0o777;

/// Whose rights an entry says, as the attribute numbers it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Tag {
    Owner = 0x01,
    User = 0x02,
    OwningGroup = 0x04,
    Group = 0x08,
    Mask = 0x10,
    Other = 0x20,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Entry {
    tag: Tag,
    permissions: u16,
    id: u32,
}

/// A list that is well-formed: owner, users, owning group, groups, mask (always, where there
/// are users or groups) and other, in this order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Acl {
    entries: Vec<Entry>,
}

/// What something new starts with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Inherited {
    pub mode: u16,
    /// What it has until the access list is there, if there is one: no more than the list gives.
    pub mode_before: u16,
    pub access: Option<Vec<u8>>,
    pub default: Option<Vec<u8>>,
}

impl Tag {
    fn of(number: u16) -> Option<Tag> {
        use Tag::*;
        [Owner, User, OwningGroup, Group, Mask, Other].into_iter().find(|tag| *tag as u16 == number)
    }
}

impl Entry {
    /// `bytes`: tag, permissions, id, little endian.
    fn parse(bytes: &[u8]) -> Option<Entry> {
        let &[t0, t1, p0, p1, a, b, c, d] = bytes else { return None };
        let tag = Tag::of(u16::from_le_bytes([t0, t1]))?;
        let permissions = u16::from_le_bytes([p0, p1]);
        let named = matches!(tag, Tag::User | Tag::Group);
        let id = if named { u32::from_le_bytes([a, b, c, d]) } else { NO_ID };
        (permissions & !RWX == 0 && (id != NO_ID || !named)).then_some(Entry { tag, permissions, id })
    }
}

impl Acl {
    /// A list from an attribute's value; None if it is malformed.
    pub fn parse(value: &[u8]) -> Option<Acl> {
        let (head, rest) = value.split_at_checked(HEAD)?;
        let whole = rest.len().is_multiple_of(ENTRY) && rest.len() / ENTRY <= ENTRIES_MAX;
        if u32::from_le_bytes(head.try_into().ok()?) != VERSION || !whole {
            return None;
        }
        let entries = rest.chunks_exact(ENTRY).map(Entry::parse).collect::<Option<Vec<_>>>()?;
        in_order(&entries).then_some(Acl { entries })
    }

    /// The attribute's value.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD + self.entries.len() * ENTRY);
        out.extend(VERSION.to_le_bytes());
        for entry in &self.entries {
            out.extend((entry.tag as u16).to_le_bytes());
            out.extend(entry.permissions.to_le_bytes());
            out.extend(entry.id.to_le_bytes());
        }
        out
    }

    /// The mode with the nine bits that the list stands for: those of owner, mask (without one:
    /// owning group) and other.
    pub fn over(&self, mode: u16) -> u16 {
        let mut bits = 0;
        for entry in &self.entries {
            match entry.tag {
                Tag::Owner => bits |= entry.permissions << 6,
                Tag::Other => bits |= entry.permissions,
                _ if entry.tag == self.group_class() => bits |= entry.permissions << 3,
                _ => {}
            }
        }
        mode & !PERMISSIONS | bits
    }

    /// The list after a chmod to `mode`.
    pub fn with_mode(mut self, mode: u16) -> Acl {
        let group = self.group_class();
        for entry in &mut self.entries {
            match entry.tag {
                Tag::Owner => entry.permissions = mode >> 6 & RWX,
                Tag::Other => entry.permissions = mode & RWX,
                tag if tag == group => entry.permissions = mode >> 3 & RWX,
                _ => {}
            }
        }
        self
    }

    /// Whether the mode says all that the list says.
    pub fn is_mode(&self) -> bool {
        self.entries.iter().all(|e| matches!(e.tag, Tag::Owner | Tag::OwningGroup | Tag::Other))
    }

    /// Whose entry the mode's group bits are.
    fn group_class(&self) -> Tag {
        if self.entries.iter().any(|e| e.tag == Tag::Mask) { Tag::Mask } else { Tag::OwningGroup }
    }

    /// The mode without what the owning group does not have beside the mask.
    fn without_mask(&self) -> u16 {
        let mode = self.over(0);
        let group = self.entries.iter().find(|e| e.tag == Tag::OwningGroup).map_or(0, |e| e.permissions);
        mode & (0o707 | group << 3)
    }
}

/// The order and number of entries that the kernel accepts.
fn in_order(entries: &[Entry]) -> bool {
    let rank = |tag: Tag| tag as u16;
    let once = |tag: Tag| entries.iter().filter(|e| e.tag == tag).count();
    let rising = entries.windows(2).all(|w| rank(w[0].tag) <= rank(w[1].tag));
    let named = once(Tag::User) + once(Tag::Group) > 0;
    let masks = once(Tag::Mask);
    rising
        && [Tag::Owner, Tag::OwningGroup, Tag::Other].into_iter().all(|tag| once(tag) == 1)
        && (masks == 1 || masks == 0 && !named)
}

/// What something that a program makes with `mode` under `umask` starts with. `default`: the
/// directory's default list; where there is one it takes the place of the umask.
pub fn inherit(default: Option<&[u8]>, is_dir: bool, mode: u16, umask: u16) -> Inherited {
    let Some(list) = default.and_then(Acl::parse) else {
        let mode = mode & !(umask & PERMISSIONS);
        return Inherited { mode, mode_before: mode, access: None, default: None };
    };
    // Of each class the rights that both grant.
    let both = list.over(0) & mode;
    let made = list.clone().with_mode(both);
    let mode = mode & !PERMISSIONS | both;
    let listed = !made.is_mode();
    Inherited {
        mode,
        mode_before: if listed { mode & !PERMISSIONS | made.without_mask() } else { mode },
        access: listed.then(|| made.encode()),
        default: is_dir.then(|| list.encode()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut out = VERSION.to_le_bytes().to_vec();
        for (tag, permissions, id) in entries {
            out.extend(tag.to_le_bytes());
            out.extend(permissions.to_le_bytes());
            out.extend(id.to_le_bytes());
        }
        out
    }

    const NONE: u32 = NO_ID;
    /// user::rwx user:7:rw- group::r-x mask::rwx other::r--
    const FULL: [(u16, u16, u32); 5] = [(1, 7, NONE), (2, 6, 7), (4, 5, NONE), (16, 7, NONE), (32, 4, NONE)];

    #[test]
    fn what_is_parsed_is_encoded_again() {
        let bytes = list(&FULL);
        let acl = Acl::parse(&bytes).expect("well-formed");
        assert_eq!(acl.encode(), bytes);
        assert!(!acl.is_mode());
        assert_eq!(acl.over(0o4111), 0o4774);
    }

    #[test]
    fn a_list_of_three_is_a_mode() {
        let acl = Acl::parse(&list(&[(1, 6, NONE), (4, 4, NONE), (32, 0, NONE)])).expect("well-formed");
        assert!(acl.is_mode());
        assert_eq!(acl.over(0o2777), 0o2640);
    }

    #[test]
    fn malformed_lists_are_refused() {
        let bad: [&[(u16, u16, u32)]; 10] = [
            &[],
            &[(1, 7, NONE)],
            &[(1, 7, NONE), (4, 7, NONE)],
            // No mask.
            &[(1, 7, NONE), (2, 7, 1), (4, 7, NONE), (32, 7, NONE)],
            // Two owners, two masks, out of order, a strange tag, a strange right, no user.
            &[(1, 7, NONE), (1, 7, NONE), (4, 7, NONE), (32, 7, NONE)],
            &[(1, 7, NONE), (4, 7, NONE), (16, 7, NONE), (16, 7, NONE), (32, 7, NONE)],
            &[(4, 7, NONE), (1, 7, NONE), (32, 7, NONE)],
            &[(1, 7, NONE), (3, 7, NONE), (4, 7, NONE), (32, 7, NONE)],
            &[(1, 8, NONE), (4, 7, NONE), (32, 7, NONE)],
            &[(1, 7, NONE), (2, 7, NONE), (4, 7, NONE), (16, 7, NONE), (32, 7, NONE)],
        ];
        for entries in bad {
            assert_eq!(Acl::parse(&list(entries)), None, "{entries:?}");
        }
        let good = list(&FULL);
        for cut in 0..good.len() {
            assert_eq!(Acl::parse(&good[..cut]), None, "{cut} bytes");
        }
        let mut version = good.clone();
        version[0] = 1;
        assert_eq!(Acl::parse(&version), None);
        let users = |n: u32| {
            let mut all = vec![(1, 7, NONE)];
            all.extend((0..n).map(|id| (2, 7, id)));
            all.extend([(4, 7, NONE), (16, 7, NONE), (32, 7, NONE)]);
            Acl::parse(&list(&all)).is_some()
        };
        let most = ENTRIES_MAX as u32 - 4;
        assert_eq!((users(most), users(most + 1)), (true, false));
    }

    #[test]
    fn a_chmod_changes_owner_mask_and_other() {
        let acl = Acl::parse(&list(&FULL)).expect("well-formed").with_mode(0o2531);
        let expected = [(1, 5, NONE), (2, 6, 7), (4, 5, NONE), (16, 3, NONE), (32, 1, NONE)];
        assert_eq!(acl.encode(), list(&expected));
        let three = Acl::parse(&list(&[(1, 7, NONE), (4, 7, NONE), (32, 7, NONE)])).expect("well-formed");
        assert_eq!(three.with_mode(0o640).over(0), 0o640);
    }

    #[test]
    fn without_a_default_list_the_umask_counts() {
        let made = inherit(None, true, 0o3777, 0o7027);
        assert_eq!((made.mode, made.mode_before), (0o3750, 0o3750));
        assert_eq!((made.access, made.default), (None, None));
    }

    #[test]
    fn a_default_list_takes_the_place_of_the_umask() {
        let default = list(&FULL);
        let file = inherit(Some(&default), false, 0o660, 0o077);
        let access = [(1, 6, NONE), (2, 6, 7), (4, 5, NONE), (16, 6, NONE), (32, 0, NONE)];
        assert_eq!((file.mode, file.access), (0o660, Some(list(&access))));
        // The owning group alone may read, and not write.
        assert_eq!((file.mode_before, file.default), (0o640, None));
        let dir = inherit(Some(&default), true, 0o2755, 0o077);
        assert_eq!((dir.mode, dir.default), (0o2754, Some(default)));
    }

    #[test]
    fn a_default_list_of_three_leaves_a_mode() {
        let default = list(&[(1, 7, NONE), (4, 5, NONE), (32, 0, NONE)]);
        let made = inherit(Some(&default), false, 0o666, 0o022);
        assert_eq!((made.mode, made.mode_before, made.access), (0o640, 0o640, None));
    }

    #[test]
    fn a_default_list_that_cannot_be_read_counts_for_nothing() {
        let made = inherit(Some(b"nonsense"), true, 0o777, 0o022);
        assert_eq!((made.mode, made.access, made.default), (0o755, None, None));
    }
}
