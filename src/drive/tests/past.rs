//! The past as files: `.kith/at/TIME`.

use super::*;
use crate::drive::SetAttr;

const MIB: usize = 1 << 20;

/// The inode at a path, as the kernel looks for it.
fn walk(m: &Machine, path: &str) -> Result<Attr> {
    let mut at = m.drive.getattr(ROOT_INO)?;
    for name in path.split('/').filter(|name| !name.is_empty()) {
        at = m.drive.lookup(at.ino, name.as_bytes())?;
    }
    Ok(at)
}

fn now(m: &Machine) -> i64 {
    m.setup.world.clock.now_ns()
}

fn at(time: i64, path: &str) -> String {
    format!(".kith/at/@{}.{:09}/{path}", time / 1_000_000_000, time % 1_000_000_000)
}

async fn read(m: &Machine, path: &str) -> Result<Vec<u8>> {
    m.read_ino(walk(m, path)?.ino).await
}

fn names(m: &Machine, path: &str) -> Vec<String> {
    let dir = walk(m, path).unwrap().ino;
    let (mut quick, mut full) = (Vec::new(), Vec::new());
    let mut after = None;
    m.drive
        .each_name(dir, None, &mut |name| {
            quick.push((name.cursor, name.name.to_vec(), name.ino));
            true
        })
        .unwrap();
    loop {
        let page = m.drive.readdir(dir, after, 2).unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.cursor);
        full.extend(page.into_iter().map(|e| (e.cursor, e.name, e.attr.ino)));
    }
    assert_eq!(quick, full, "both kinds of listings");
    let mut names: Vec<String> =
        full.into_iter().map(|(_, name, _)| String::from_utf8_lossy(&name).into_owned()).collect();
    names.sort();
    names
}

/// Everything that was, as `a_day` left it.
async fn as_it_was(m: &Machine, time: i64, first: &[u8]) {
    assert_eq!(names(m, &at(time, "")), ["d", "gone", "old"]);
    assert_eq!(names(m, &at(time, "d")), ["plan"]);
    assert!(read(m, &at(time, "d/plan")).await.unwrap() == first);
    assert_eq!(read(m, &at(time, "gone")).await.unwrap(), b"gone");
    let old = walk(m, &at(time, "old")).unwrap();
    assert_eq!((old.mode, old.size, old.nlink), (0o640, 3, 1));
    assert_eq!(m.drive.parent(walk(m, &at(time, "d")).unwrap().ino), Ok(walk(m, &at(time, "")).unwrap().ino));
}

#[tokio::test(start_paused = true)]
async fn what_was_is_there_to_be_read() {
    let (grid, founding, dice) = (MemGrid::new(5), found(2), Dice::new(71));
    let m = Machine::start(&founding, 0, &grid).await;
    let before = now(&m);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (first, second) = (dice.noise(2 * MIB + 5), dice.noise(MIB));
    m.drive.mkdir(ROOT_INO, b"d", 0o755, ME).unwrap();
    m.write("d/plan", &first).await.unwrap();
    m.write("gone", b"gone").await.unwrap();
    let old = m.write("old", b"old").await.unwrap();
    m.drive.setattr(old, SetAttr { mode: Some(0o640), ..SetAttr::default() }, ME).unwrap();
    m.full().await;
    let then = now(&m);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    m.write("d/plan", &second).await.unwrap();
    m.drive.unlink(ROOT_INO, b"gone", ME).unwrap();
    m.drive.rename((ROOT_INO, b"old"), (ROOT_INO, b"new"), false, false, ME).unwrap();
    m.drive.setattr(old, SetAttr { mode: Some(0o600), ..SetAttr::default() }, ME).unwrap();
    m.write("more", b"more").await.unwrap();
    as_it_was(&m, then, &first).await;
    m.full().await;
    as_it_was(&m, then, &first).await;
    assert!(m.read("d/plan").await.unwrap() == second);
    assert_eq!(m.names(""), ["d", "more", "new"]);

    for nowhen in
        [at(before, ""), at(now(&m) + 1_000_000_000, ""), ".kith/at/yesterday".into(), ".kith/x".into()]
    {
        assert_eq!(walk(&m, &nowhen), Err(Error::NotFound), "{nowhen}");
    }
    let versions = m.drive.versions(b"d/plan").unwrap();
    let sizes: Vec<u64> = versions.iter().map(|v| v.inode.as_ref().unwrap().size).collect();
    assert_eq!(sizes, [MIB as u64, 2 * MIB as u64 + 5]);
    assert!(m.drive.versions(b"gone").unwrap()[0].inode.is_none());

    // Without what is here, on another machine, and after a power cut.
    m.drive.drop_caches().await;
    as_it_was(&m, then, &first).await;
    let other = Machine::start(&founding, 1, &grid).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    as_it_was(&other, then, &first).await;
    let m = m.crash(Crash::Seeded(3)).await;
    as_it_was(&m, then, &first).await;
}

#[tokio::test(start_paused = true)]
async fn nobody_changes_what_was() {
    let (grid, founding) = (MemGrid::new(3), found(1));
    let m = Machine::start(&founding, 0, &grid).await;
    m.write("f", b"f").await.unwrap();
    m.full().await;
    let then = now(&m);
    let (root, file) = (walk(&m, &at(then, "")).unwrap().ino, walk(&m, &at(then, "f")).unwrap().ino);
    let own = walk(&m, ".kith").unwrap().ino;
    let refused = Err(Error::ReadOnly);
    for dir in [root, own, walk(&m, ".kith/at").unwrap().ino] {
        assert_eq!(m.drive.mkdir(dir, b"x", 0o755, ME).map(|_| ()), refused);
        assert_eq!(m.drive.mknod(dir, b"x", NodeKind::File, 0o644, ME).map(|_| ()), refused);
        assert_eq!(m.drive.symlink(dir, b"x", b"y", ME).map(|_| ()), refused);
        assert_eq!(m.drive.create(dir, b"x", 0o644, RW, ME).map(|_| ()), refused);
        assert_eq!(m.drive.unlink(dir, b"f", ME), refused);
        assert_eq!(m.drive.rmdir(dir, b"at", ME), refused);
        assert_eq!(m.drive.rename((dir, b"f"), (ROOT_INO, b"g"), false, false, ME), refused);
        assert_eq!(m.drive.rename((ROOT_INO, b"f"), (dir, b"g"), false, false, ME), refused);
        assert_eq!(m.drive.link(file, dir, b"g").map(|_| ()), refused);
    }
    assert_eq!(m.drive.link(file, ROOT_INO, b"g").map(|_| ()), refused);
    assert_eq!(m.drive.open(file, RW).await.map(|_| ()), refused);
    assert_eq!(m.drive.setattr(file, SetAttr::default(), ME).map(|_| ()), refused);
    assert_eq!(m.drive.truncate(file, 0, SetAttr::default(), ME).await.map(|_| ()), refused);
    assert_eq!(m.drive.setxattr(file, b"user.x", b"y", false, false, ME), refused);
    assert_eq!(m.drive.removexattr(file, b"user.x", ME), refused);
    let handle = m.drive.open(file, RO).await.unwrap();
    assert_eq!(m.drive.write(handle, 0, Bytes::from_static(b"x"), false).await, Err(Error::BadHandle));
    m.drive.release(handle).await.unwrap();
    // The name that leads there is nobody's.
    let kith = b".kith";
    assert_eq!(m.drive.mkdir(ROOT_INO, kith, 0o755, ME).map(|_| ()), Err(Error::NotPermitted));
    assert_eq!(m.drive.rmdir(ROOT_INO, kith, ME), Err(Error::NotPermitted));
    assert_eq!(
        m.drive.rename((ROOT_INO, b"f"), (ROOT_INO, kith), false, false, ME),
        Err(Error::NotPermitted)
    );
    assert!(!m.names("").contains(&".kith".to_string()));
}

#[tokio::test(start_paused = true)]
async fn the_same_content_says_so_now_and_then() {
    let (grid, founding) = (MemGrid::new(3), found(1));
    let m = Machine::start(&founding, 0, &grid).await;
    m.write("same", b"1").await.unwrap();
    let other = m.write("other", b"1").await.unwrap();
    m.drive.setxattr(other, b"user.tag", b"old", false, false, ME).unwrap();
    m.full().await;
    let then = now(&m);
    m.write("other", b"2").await.unwrap();
    let content = |path: &str| m.drive.getxattr(walk(&m, path).unwrap().ino, b"user.kith.content");
    assert_eq!(content("other"), Err(Error::NoAttr), "it has not settled");
    m.full().await;
    m.drive.setxattr(other, b"user.tag", b"new", false, false, ME).unwrap();
    assert_eq!(content("same").unwrap(), content(&at(then, "same")).unwrap());
    assert_ne!(content("other").unwrap(), content(&at(then, "other")).unwrap());
    m.write("other", b"1").await.unwrap();
    m.full().await;
    assert_eq!(content("other").unwrap(), content(&at(then, "other")).unwrap(), "written again");
    let was = walk(&m, &at(then, "other")).unwrap().ino;
    assert_eq!(m.drive.getxattr(was, b"user.tag").unwrap(), b"old");
    assert_eq!(m.drive.listxattr(was).unwrap(), [b"user.tag"]);
    // The kernel forgets, and asks again.
    m.drive.remember(&[was]);
    m.drive.forget(was, 1);
    assert!(m.drive.getattr(was).is_ok());
    m.drive.forget(was, 99);
    assert_eq!(m.drive.getattr(was), Err(Error::Stale));
    assert_eq!(walk(&m, &at(then, "other")).unwrap().ino, was);
}

#[tokio::test(start_paused = true)]
async fn moments_are_listed() {
    let (grid, founding) = (MemGrid::new(3), found(1));
    let m = Machine::start(&founding, 0, &grid).await;
    assert!(names(&m, ".kith/at").is_empty());
    assert_eq!(names(&m, ".kith"), ["at"]);
    m.write("f", b"f").await.unwrap();
    m.full().await;
    tokio::time::sleep(Duration::from_secs(3 * 86_400)).await;
    let listed = names(&m, ".kith/at");
    assert_eq!(listed.len(), 3 + 24 - 1, "{listed:?}");
    for moment in listed {
        assert_eq!(names(&m, &format!(".kith/at/{moment}")), ["f"], "{moment}");
    }
}
