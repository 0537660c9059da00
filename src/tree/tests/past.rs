//! The state of any moment, read from what is kept of the past.

use super::converge::change;
use super::support::*;
use crate::content::Content;
use crate::tree::*;

/// As [`Site::tree`], of a moment.
fn tree_at(site: &Site, time: TimeNs) -> Vec<String> {
    let mut moment = Moment::at(time);
    tree_of(site, &mut moment)
}

fn tree_of(site: &Site, moment: &mut Moment) -> Vec<String> {
    site.fold.bring_up(&site.table, moment).unwrap();
    let mut out = Vec::new();
    let mut dirs = vec![(ROOT, String::new())];
    while let Some((dir, path)) = dirs.pop() {
        for child in moment.children(&site.table, dir, None, usize::MAX).unwrap() {
            let there = moment.lookup(&site.table, dir, &child.name).unwrap();
            assert_eq!(there.as_ref(), Some(&child.inode));
            let at = format!("{path}{}", String::from_utf8_lossy(&child.name));
            let xattrs = moment.xattrs(&site.table, child.inode.object).unwrap();
            let content = moment.content(&site.table, &child.inode).unwrap();
            out.push(told(&at, &child.inode, &content, xattrs.into_iter().collect()));
            if child.inode.is_dir() {
                dirs.push((child.inode.object, format!("{at}/")));
            }
        }
    }
    out.sort();
    out
}

fn tree_now(site: &Site) -> Vec<String> {
    let view = site.view();
    let mut out = Vec::new();
    let mut dirs = vec![(ROOT, String::new())];
    while let Some((dir, path)) = dirs.pop() {
        for child in view.children(dir, None, usize::MAX).unwrap() {
            let at = format!("{path}{}", String::from_utf8_lossy(&child.name));
            let xattrs = view.xattrs(child.inode.object).unwrap();
            let content = view.content(child.inode.object).unwrap();
            out.push(told(
                &at,
                &child.inode,
                &content,
                xattrs.into_iter().map(|x| (x.name, x.value)).collect(),
            ));
            if child.inode.is_dir() {
                dirs.push((child.inode.object, format!("{at}/")));
            }
        }
    }
    out.sort();
    out
}

fn told(at: &str, inode: &Inode, content: &Content, xattrs: Vec<(Vec<u8>, Vec<u8>)>) -> String {
    format!("{at} {inode:?} {content:?} {xattrs:?}")
}

#[test]
fn every_prefix_of_the_order_can_be_read_as_it_was() {
    cases(60, |seed| {
        let mut dice = Dice(seed);
        let mut sites: Vec<Site> = (1..=3).map(Site::new).collect();
        let mut old: Vec<Vec<Inode>> = vec![Vec::new(); 3];
        for _ in 0..80 + dice.below(80) {
            let i = dice.below(3);
            match dice.below(10) {
                0..6 => {
                    if let Some(change) = change(&mut dice, &sites[i], &old[i]) {
                        let id = sites[i].local(change);
                        old[i].extend(sites[i].view().inode(id).unwrap());
                    }
                }
                6 | 7 if !sites[i].fold.pending().is_empty() => drop(sites[i].publish()),
                _ => {
                    // Late ones are put in between: what was kept is taken back, and made again.
                    let all = sites[dice.below(3)].has.clone();
                    let some = (0..dice.below(6)).filter_map(|_| dice.pick(&all).cloned()).collect();
                    sites[i].take(some);
                }
            }
        }
        settle(&mut sites);
        let one = &sites[0];
        let mut again = Site::new(9);
        let order: Vec<Stood> =
            (0..one.fold.applied()).map(|n| one.fold.stood(&one.table, n).unwrap()).collect();
        let mut moment = Moment::at(0);
        for (n, stood) in order.iter().enumerate() {
            again.take(one.has.iter().filter(|e| e.hash == stood.order.hash).cloned().collect());
            if order.get(n + 1).is_some_and(|next| next.since == stood.since) {
                continue;
            }
            assert_eq!(tree_at(one, stood.since), tree_now(&again), "after {n}");
            // One that is used for one time after the other is as good.
            if dice.one_in(2) {
                moment = Moment::at(stood.since);
                assert_eq!(tree_of(one, &mut moment), tree_now(&again));
            }
        }
        assert_eq!(tree_at(one, TimeNs::MAX), tree_now(one));
        assert_eq!(tree_of(one, &mut moment), tree_at(one, moment.time()));
    });
}

#[test]
fn what_is_pending_has_a_past_too() {
    cases(60, |seed| {
        let mut dice = Dice(seed);
        let mut site = Site::new(1);
        let mut old = Vec::new();
        let mut trees: Vec<(TimeNs, Vec<String>)> = Vec::new();
        let mut kept: Vec<Moment> = Vec::new();
        // Entries are moments, too: what lies between them is not told apart any more.
        let mut published = Vec::new();
        for step in 0..60 {
            if let Some(change) = change(&mut dice, &site, &old) {
                let id = site.local(change);
                old.extend(site.view().inode(id).unwrap());
            }
            let time = NOW + site.next as i64 - 1;
            trees.push((time, tree_now(&site)));
            kept.push(Moment::at(time));
            if step % 20 == 19 && !site.fold.pending().is_empty() {
                for ((time, tree), moment) in trees.iter().zip(&mut kept) {
                    assert_eq!(&tree_of(&site, moment), tree, "at {time} of {step}");
                }
                site.publish();
                published.extend(trees.last().cloned());
                (trees, kept) = (Vec::new(), Vec::new());
                for (time, tree) in &published {
                    assert_eq!(&tree_at(&site, *time), tree, "at {time}, published");
                }
                if dice.one_in(2) {
                    site.reopen();
                }
            }
        }
    });
}

#[test]
fn a_clock_that_is_ahead_hides_nothing() {
    let mut a = Site::new(1);
    a.file(ROOT, "f", "1");
    a.publish();
    let mut b = Site::new(2);
    b.next = 1 << 47;
    b.fold.set_now(NOW + 50);
    b.take(a.has.clone());
    b.file(ROOT, "from the future", "2");
    b.publish();
    a.fold.set_now(NOW + 50);
    a.take(b.has.clone());
    a.next = 100;
    a.fold.set_now(NOW + 200);
    a.file(ROOT, "g", "3");
    a.publish();
    let names = |time| {
        let mut moment = Moment::at(time);
        a.fold.bring_up(&a.table, &mut moment).unwrap();
        let all = moment.children(&a.table, ROOT, None, 99).unwrap();
        let mut names: Vec<String> = all.into_iter().map(|c| String::from_utf8(c.name).unwrap()).collect();
        names.sort();
        names
    };
    assert_eq!(names(NOW + 2), ["f"]);
    assert_eq!(names(NOW + 3), ["f", "from the future"]);
    assert_eq!(names(NOW + 300), ["f", "from the future", "g"]);
}

#[test]
fn a_name_has_all_its_versions_also_of_saves_by_rename() {
    let mut s = Site::new(1);
    let d = s.dir(ROOT, "d");
    s.publish();
    let f = s.file(d, "plan", "1");
    s.publish();
    s.write(f, "2");
    s.publish();
    s.local(Change::SetAttrs {
        object: f,
        change: AttrChange { mode: Some(0o600), ..AttrChange::default() },
    });
    s.publish();
    s.file(d, "plan.new", "3");
    s.rename((d, "plan.new"), (d, "plan"));
    s.publish();
    s.unlink(d, "plan");
    s.publish();
    s.file(d, "plan", "4");
    let versions = s.fold.versions(&s.table, d, b"plan").unwrap();
    let texts: Vec<String> = versions
        .iter()
        .map(|v| match &v.inode {
            None => "-".to_string(),
            Some(inode) => {
                let mut moment = Moment::at(v.since);
                s.fold.bring_up(&s.table, &mut moment).unwrap();
                let there = moment.lookup(&s.table, d, b"plan").unwrap();
                assert_eq!(
                    there.as_ref().map(|i| (i.object, i.version)),
                    Some((inode.object, inode.version))
                );
                match moment.content(&s.table, inode).unwrap() {
                    Content::Inline(bytes) => String::from_utf8(bytes).unwrap(),
                    Content::Tree { .. } => "?".into(),
                }
            }
        })
        .collect();
    assert_eq!(texts, ["4", "-", "3", "2", "1"]);
    assert!(
        versions.iter().all(|v| v.author.as_ref().is_some_and(|(l, label)| *l == log(1) && label == "dev1"))
    );
    assert!(versions.windows(2).all(|w| w[0].since > w[1].since));
    // The end of each is a moment at which it was there.
    for v in versions.iter().filter(|v| v.inode.is_some() && v.until.is_some()) {
        let mut moment = Moment::at(v.until.unwrap());
        s.fold.bring_up(&s.table, &mut moment).unwrap();
        let there = moment.lookup(&s.table, d, b"plan").unwrap();
        assert_eq!(there.map(|i| (i.object, i.version)), v.inode.as_ref().map(|i| (i.object, i.version)));
    }
    // Of another site that got it all at once.
    let mut other = Site::new(2);
    s.publish();
    other.take(s.has.clone());
    assert_eq!(other.fold.versions(&other.table, d, b"plan").unwrap().len(), 5);
    assert!(other.fold.versions(&other.table, d, b"never").unwrap().is_empty());
}

#[test]
fn conflicts_are_listed_until_they_are_not() {
    let mut sites = two(|s| {
        s.file(ROOT, "plan", "1");
    });
    for (i, text) in ["mine", "theirs"].iter().enumerate() {
        let object = sites[i].seen(ROOT, "plan").unwrap().object;
        sites[i].write(object, text);
    }
    settle(&mut sites);
    for site in &sites {
        let all = site.view().conflicts(None, 10).unwrap();
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].1.displaced.as_ref().unwrap().wanted.name, b"plan");
    }
    let name =
        String::from_utf8(sites[0].view().conflicts(None, 10).unwrap()[0].1.home.name.clone()).unwrap();
    sites[0].rename((ROOT, &name), (ROOT, "plan (mine)"));
    settle(&mut sites);
    assert!(sites.iter().all(|site| site.view().conflicts(None, 10).unwrap().is_empty()));
}

#[test]
fn a_removal_that_is_pending_hides_no_version() {
    let mut s = Site::new(1);
    s.dir(ROOT, "older");
    s.publish();
    let f = s.file(ROOT, "f", "1");
    s.publish();
    s.write(f, "2");
    s.publish();
    s.unlink(ROOT, "f");
    let versions = s.fold.versions(&s.table, ROOT, b"f").unwrap();
    let kinds: Vec<bool> = versions.iter().map(|v| v.inode.is_some()).collect();
    assert_eq!(kinds, [false, true, true]);
    let mut moment = Moment::at(versions[1].until.unwrap());
    s.fold.bring_up(&s.table, &mut moment).unwrap();
    let there = moment.lookup(&s.table, ROOT, b"f").unwrap().unwrap();
    assert_eq!(moment.content(&s.table, &there).unwrap(), inline("2"));
}
