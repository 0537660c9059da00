//! Times that move by themselves.

use super::*;
use crate::drive::SetAttr;

/// fallocate(2) modes.
const KEEP: i32 = 1;
const PUNCH: i32 = 2;
const ZERO: i32 = 16;

#[tokio::test(start_paused = true)]
async fn an_allocation_moves_the_time_also_where_it_changes_nothing() {
    let (grid, founding) = (MemGrid::new(0), found(1));
    let m = Machine::start(&founding, 0, &grid).await;
    let (attr, handle) = m.drive.create(ROOT_INO, b"a", 0o644, RW, ME).unwrap();
    m.drive.write(handle, 0, Bytes::from_static(b"some bytes"), false).await.unwrap();
    for mode in [0, KEEP, PUNCH | KEEP, ZERO | KEEP] {
        let at = if mode == 0 { 0 } else { 100 };
        let then = SetAttr { mtime: Some(5), ..SetAttr::default() };
        m.drive.setattr(attr.ino, then, ME).unwrap();
        m.drive.fallocate(handle, at, 10, mode).await.unwrap();
        let now = m.drive.getattr(attr.ino).unwrap();
        assert!(now.mtime > 5, "mode {mode}");
        assert_eq!(now.size, 10, "mode {mode}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_length_that_stays_moves_the_time_through_an_open_file_and_not_by_name() {
    let (grid, founding) = (MemGrid::new(0), found(1));
    let m = Machine::start(&founding, 0, &grid).await;
    let (attr, handle) = m.drive.create(ROOT_INO, b"a", 0o644, RW, ME).unwrap();
    for written in [false, true] {
        if written {
            m.drive.write(handle, 0, Bytes::from_static(b"some bytes"), false).await.unwrap();
        }
        for opened in [false, true] {
            let then = SetAttr { mtime: Some(5), ..SetAttr::default() };
            let before = m.drive.setattr(attr.ino, then, ME).unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
            let set = SetAttr { opened, ..SetAttr::default() };
            let after = m.drive.truncate(attr.ino, before.size, set, ME).await.unwrap();
            assert_eq!(after.mtime > 5, opened, "written {written}");
            assert!(after.ctime > before.ctime, "written {written}, opened {opened}");
        }
    }
}
