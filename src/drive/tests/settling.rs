//! What comes while a file settles.

use super::*;
use crate::drive::SetAttr;
use crate::drive::live::Live;
use std::future::Future;

/// A file of one chunk, closed.
async fn file(m: &Machine, bytes: &[u8]) -> Arc<Live> {
    let (attr, handle) = m.drive.create(ROOT_INO, b"a", 0o644, RW, ME).unwrap();
    m.drive.write(handle, 0, Bytes::copy_from_slice(bytes), false).await.unwrap();
    m.drive.flush(handle).await.unwrap();
    m.drive.release(handle).await.unwrap();
    m.drive.shared.live(attr.ino).unwrap()
}

/// A closed file that is about to settle, and what lets it.
async fn about_to_settle(m: &Machine) -> (Arc<Live>, tokio::sync::OwnedMutexGuard<()>) {
    let live = file(m, b"some bytes").await;
    let order = live.order.clone().lock_owned().await;
    let (shared, settling) = (m.drive.shared.clone(), live.clone());
    tokio::spawn(async move { shared.settle(&settling).await });
    tokio::time::sleep(Duration::from_millis(10)).await;
    (live, order)
}

#[tokio::test(start_paused = true)]
async fn a_cut_that_waits_for_a_file_to_settle_is_not_lost() {
    let (grid, founding) = (MemGrid::new(0), found(1));
    let m = Machine::start(&founding, 0, &grid).await;
    let (live, order) = about_to_settle(&m).await;
    let (drive, ino) = (m.drive.clone(), live.ino);
    let cut = tokio::spawn(async move { drive.truncate(ino, 4, SetAttr::default(), ME).await });
    tokio::time::sleep(Duration::from_millis(10)).await;
    drop(order);
    assert_eq!(cut.await.unwrap().unwrap().size, 4);
    assert_eq!(m.drive.getattr(ino).unwrap().size, 4);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(m.read("a").await.unwrap(), b"some");
    let m = m.restart().await;
    assert_eq!(m.read("a").await.unwrap(), b"some");
}

#[tokio::test(start_paused = true)]
async fn a_time_that_is_set_while_a_file_settles_stays() {
    let (grid, founding) = (MemGrid::new(0), found(1));
    let m = Machine::start(&founding, 0, &grid).await;
    let live = file(&m, &Dice::new(3).noise(100_000)).await;
    let (shared, ino, mut times) = (m.drive.shared.clone(), live.ino, 0);
    let then = SetAttr { mtime: Some(5), ..SetAttr::default() };
    {
        let mut settling = std::pin::pin!(shared.settle(&live));
        // At each step at which it waits for something else.
        std::future::poll_fn(|cx| {
            let done = settling.as_mut().poll(cx);
            if done.is_pending() && live.state.lock().frozen {
                m.drive.setattr(ino, then, ME).unwrap();
                times += 1;
            }
            done
        })
        .await
        .unwrap();
    }
    assert!(times > 0, "it never waited");
    assert_eq!(m.drive.getattr(ino).unwrap().mtime, 5);
    let m = m.restart().await;
    assert_eq!(m.drive.getattr(ino).unwrap().mtime, 5);
}
