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
