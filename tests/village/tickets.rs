//! Tickets and time: real nodes, an unreal clock.

use super::begin;
use super::close::node;
use kithfs::daemon::api::Line;
use kithfs::sim::Village;
use std::time::Duration;

#[test]
fn an_expired_ticket_is_refused_and_says_so() {
    begin(1, || {
        kithfs::village!(async {
            let village = Village::new(1, 3);
            let host = node(village.machine(0)).await;
            let early = node(village.machine(1)).await;
            let late = node(village.machine(2)).await;
            let invite = || async {
                match host.invite(None, Some(1 << 30), 1, &[], "writer").await.unwrap() {
                    Line::Ticket { ticket, .. } => ticket,
                    other => panic!("no ticket: {other:?}"),
                }
            };
            let (in_time, too_late) = (invite().await, invite().await);
            tokio::time::sleep(Duration::from_secs(55)).await;
            early.join(&in_time, None).await.unwrap();
            tokio::time::sleep(Duration::from_secs(10)).await;
            let error = late.join(&too_late, None).await.unwrap_err();
            assert!(error.to_string().contains("expired"), "{error}");
            assert!(late.friends().is_empty() && host.friends().len() == 1);
            // A new one helps.
            late.join(&invite().await, None).await.unwrap();
        });
    });
}
