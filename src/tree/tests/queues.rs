//! First in, first out per directory and inode; others overtake.

use super::support::*;
use crate::tree::*;
use std::collections::BTreeSet;

#[test]
fn a_big_upload_delays_only_what_touches_it() {
    let mut s = Site::new(1);
    let d = s.dir(ROOT, "d");
    let other = s.dir(ROOT, "other");
    s.publish();
    let film = s.create(d, "film", Kind::File);
    let content = s.write(film, "4 GB, say");
    let made = s.dir(other, "made meanwhile");
    let in_d = s.dir(d, "beside it");
    s.rename((d, "film"), (d, "film.mp4"));
    let after = s.dir(d, "behind the rename");
    let inside = s.dir(after, "inside");
    let ops = s.fold.pending_operations(&s.table).unwrap();
    let ready = publishable(log(1), &ops, &BTreeSet::from([content.n]));
    assert_eq!(ready, [film.n, made.n, in_d.n]);
    assert!(!ready.contains(&inside.n));
    // Publishing them before the rest changes nothing here.
    let before = s.tree();
    s.publish_some(&ready);
    assert_eq!(s.tree(), before);
    assert_eq!(publishable(log(1), &s.fold.pending_operations(&s.table).unwrap(), &BTreeSet::new()).len(), 4);
}

#[test]
fn link_unlink_and_exchange_join_the_queues_they_touch() {
    let mut s = Site::new(1);
    let (d, e) = (s.dir(ROOT, "d"), s.dir(ROOT, "e"));
    let (f, g) = (s.file(d, "f", "1"), s.file(e, "g", "2"));
    s.publish();
    let link = s.local(Change::Link { object: f, parent: e, name: "f2".into() });
    let seen = s.seen(e, "g").unwrap();
    s.local(Change::Unlink { parent: e, name: "g".into(), seen });
    s.local(Change::SetAttrs { object: g, change: AttrChange::default() });
    s.local(Change::SetAttrs { object: f, change: AttrChange::default() });
    let free = s.dir(d, "free");
    let ops = s.fold.pending_operations(&s.table).unwrap();
    assert_eq!(publishable(log(1), &ops, &BTreeSet::from([link.n])), [free.n]);
}
