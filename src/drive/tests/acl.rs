//! Access control lists without a kernel: what is inherited, kept, and left by a crash.

use super::*;
use crate::promises::promise;
use crate::tree::{ACL_ACCESS, ACL_DEFAULT, Acl};

/// owner rwx, user 7 rw, owning group r, mask rwx, other none.
fn list() -> Vec<u8> {
    let entry = |tag: u8, rights: u8, id: [u8; 4]| [&[tag, 0, rights, 0][..], &id].concat();
    let (none, user) = ([0xff; 4], [7, 0, 0, 0]);
    let entries = [entry(1, 7, none), entry(2, 6, user), entry(4, 4, none), entry(16, 7, none)];
    [&[2, 0, 0, 0][..], &entries.concat(), &entry(32, 0, none)].concat()
}

#[tokio::test(start_paused = true)]
async fn a_new_file_and_its_list_come_together_from_a_crash() {
    promise("A new file comes with its inherited list or not at all, also in a power cut.");
    let (mut came, mut lost) = (0, 0);
    for seed in super::model::seeds(30) {
        let (grid, founding) = (MemGrid::new(0), found(1));
        let m = Machine::start(&founding, 0, &grid).await;
        let d = m.drive.mkdir(ROOT_INO, b"d", 0o755, ME).unwrap().ino;
        m.drive.setxattr(d, ACL_DEFAULT, &list(), false, false, ME).unwrap();
        m.drive.sync_inode(d).await.unwrap();
        let mut made = Vec::new();
        for i in 0..20 {
            let name = format!("{i}");
            made.push(m.drive.create(d, name.as_bytes(), 0o666, RW, ME).unwrap().0);
            tokio::time::sleep(Duration::from_millis(seed % 7 * 30)).await;
        }
        let m = m.crash(Crash::Seeded(seed)).await;
        let expected = Acl::parse(&list()).unwrap().with_mode(0o660);
        for attr in made {
            match m.drive.getxattr(attr.ino, ACL_ACCESS) {
                Ok(found) => {
                    assert_eq!(Acl::parse(&found), Some(expected.clone()), "seed {seed}");
                    assert_eq!(m.drive.getattr(attr.ino).unwrap().mode, 0o660, "seed {seed}");
                    came += 1;
                }
                Err(e) => {
                    assert_eq!(m.drive.getattr(attr.ino), Err(Error::Stale), "seed {seed}: {e}");
                    lost += 1;
                }
            }
        }
    }
    assert!(came > 0 && lost > 0, "{came} came, {lost} were lost: the crashes try nothing");
}

#[tokio::test(start_paused = true)]
async fn lists_are_the_same_after_a_start_and_on_another_machine() {
    let (grid, founding) = (MemGrid::new(3), found(2));
    let m = Machine::start(&founding, 0, &grid).await;
    m.drive.setxattr(ROOT_INO, ACL_DEFAULT, &list(), false, false, ME).unwrap();
    let d = m.drive.mkdir(ROOT_INO, b"d", 0o751, Caller { umask: 0o77, ..ME }).unwrap();
    assert_eq!(d.mode, 0o750);
    let f = m.write("d/f", b"x").await.unwrap();
    m.drive.setattr(f, SetAttr { mode: Some(0o620), ..SetAttr::default() }, ME).unwrap();
    assert_eq!(m.drive.setxattr(f, ACL_DEFAULT, &list(), false, false, ME), Err(Error::Denied));
    assert!(matches!(m.drive.setxattr(f, ACL_ACCESS, b"no", false, false, ME), Err(Error::Invalid(_))));
    m.full().await;
    let m = m.restart().await;
    let other = Machine::start(&founding, 1, &grid).await;
    let shown = |drive: &Drive| {
        let (d, f) = (drive.resolve(b"d")?, drive.resolve(b"d/f")?);
        let lists = [(d, ACL_ACCESS), (d, ACL_DEFAULT), (f, ACL_ACCESS)];
        let lists = lists.map(|(ino, name)| drive.getxattr(ino, name).ok().and_then(|v| Acl::parse(&v)));
        Ok::<_, Error>((drive.getattr(d)?.mode, drive.getattr(f)?.mode, lists))
    };
    let whole = Acl::parse(&list()).unwrap();
    let lists = [Some(whole.clone().with_mode(0o750)), Some(whole.clone()), Some(whole.with_mode(0o620))];
    assert_eq!(shown(&m.drive), Ok((0o750, 0o620, lists.clone())));
    for _ in 0..100 {
        if shown(&other.drive).is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(shown(&other.drive), Ok((0o750, 0o620, lists)));
}
