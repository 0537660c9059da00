use super::samples::ticket;
use crate::keys::{DriveId, NodeId, Power};
use crate::wire::*;
use proptest::prelude::*;

#[test]
fn a_ticket_comes_back_whatever_the_case_and_space() {
    let text = ticket().to_string();
    assert!(text.starts_with("kith-"));
    assert_eq!(text.parse(), Ok(ticket()));
    assert_eq!(format!("  {}\n", text.to_uppercase()).parse(), Ok(ticket()));
}

#[test]
fn rejects_any_one_letter_changed() {
    let text = ticket().to_string();
    for at in TICKET_PREFIX.len()..text.len() {
        for letter in ['a', 'q', '7'] {
            let mut wrong: Vec<char> = text.chars().collect();
            if wrong[at] == letter {
                continue;
            }
            wrong[at] = letter;
            let wrong: String = wrong.into_iter().collect();
            assert_eq!(wrong.parse::<Ticket>(), Err(TicketError::Checksum), "letter {at}");
        }
    }
}

#[test]
fn rejects_a_ticket_cut_short_or_doubled() {
    let text = ticket().to_string();
    for len in TICKET_PREFIX.len()..text.len() {
        assert_eq!(text[..len].parse::<Ticket>(), Err(TicketError::Checksum));
    }
    assert_eq!(format!("{text}{}", &text[5..]).parse::<Ticket>(), Err(TicketError::Checksum));
}

#[test]
fn rejects_what_is_no_ticket() {
    assert_eq!("".parse::<Ticket>(), Err(TicketError::Prefix));
    assert_eq!("hello".parse::<Ticket>(), Err(TicketError::Prefix));
    assert_eq!("kith:write:abc".parse::<Ticket>(), Err(TicketError::Prefix));
    assert_eq!("kith-ab1c".parse::<Ticket>(), Err(TicketError::Letter('1')));
    assert_eq!("kith-abéc".parse::<Ticket>(), Err(TicketError::Letter('é')));
    let long = format!("kith-{}", "a".repeat(TICKET_TEXT_MAX));
    assert_eq!(long.parse::<Ticket>(), Err(TicketError::TooLong));
}

#[test]
fn rejects_a_version_of_the_future_by_name() {
    let mut future = ticket();
    future.version = 2;
    assert_eq!(future.to_string().parse::<Ticket>(), Err(TicketError::Version(2)));
}

#[test]
fn rejects_more_than_the_limits() {
    let over = |t: Ticket| match t.to_string().parse::<Ticket>() {
        Err(TicketError::Wire(WireError::OverLimit { what, .. })) => what,
        other => panic!("{other:?}"),
    };
    let mut t = ticket();
    t.addrs = vec![t.addrs[0]; TICKET_ADDRS_MAX + 1];
    assert_eq!(over(t), "addresses in a ticket");
    let mut t = ticket();
    t.drives = vec![t.drives[0].clone(); TICKET_DRIVES_MAX + 1];
    assert_eq!(over(t), "drives in a ticket");
    let mut t = ticket();
    t.drives[0].label = "x".repeat(LABEL_MAX + 1);
    assert_eq!(over(t), "bytes of a label");
}

#[test]
fn the_largest_ticket_is_accepted() {
    let drive = Invited { drive: DriveId([255; 32]), power: Power::Admin, label: "x".repeat(LABEL_MAX) };
    let largest = Ticket {
        version: TICKET_VERSION,
        inviter: NodeId([255; 32]),
        addrs: vec!["[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535".parse().unwrap(); TICKET_ADDRS_MAX],
        secret: [255; 16],
        expires: u64::MAX,
        lends: u64::MAX,
        asks: u64::MAX,
        drives: vec![drive; TICKET_DRIVES_MAX],
    };
    assert_eq!(largest.to_string().parse(), Ok(largest));
}

#[test]
fn a_ticket_shows_no_secret_when_logged() {
    assert!(!format!("{:?}", ticket()).contains("18, 18"));
}

proptest! {
    #[test]
    fn no_text_panics(text in ".{0,300}") {
        let _ = text.parse::<Ticket>();
        let _ = format!("kith-{text}").parse::<Ticket>();
    }
    #[test]
    fn tickets_come_back(secret: [u8; 16], inviter: [u8; 32], expires: u64, lends: u64, port: u16) {
        let mut t = ticket();
        (t.secret, t.inviter, t.expires, t.lends) = (secret, NodeId(inviter), expires, lends);
        t.addrs[0].set_port(port);
        prop_assert_eq!(t.to_string().parse(), Ok(t));
    }
}
