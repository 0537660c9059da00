//! The words, the kit and the recovery record.

use super::*;
use std::collections::BTreeSet;

pub(super) fn sample() -> RecoveryContent {
    let Founded { admin, founder, log, keys } = found();
    let friend = someone(20);
    let drive = RecoveryDrive {
        drive: log.drive(),
        label: "family".into(),
        power: Power::Admin,
        epoch: Epoch(1),
        key: Seed::from_bytes(*keys.level(Epoch(1)).unwrap().expose()),
        head: log.head(),
        admin: Some(admin.seed()),
    };
    RecoveryContent {
        label: "laptop".into(),
        household: "home".into(),
        lends: 50_000_000_000,
        grant: 1_000_000_000,
        sharing: 0,
        drives: vec![drive],
        members: vec![founder.certificate.clone()],
        held: vec![(friend.device.node(), vec![friend.certificate.clone()])],
        given: vec![(friend.person.id(), 1 << 30)],
        names: vec![(friend.person.id(), "ben".into())],
    }
}

pub(super) fn sample_record() -> Signed {
    sample().seal(&someone(2).person, 7).unwrap()
}

pub(super) fn sample_kit() -> Kit {
    let nodes = [someone(20).device.node(), someone(21).device.node()];
    let friends = [("192.0.2.7:7417", "ben"), ("[2001:db8::7]:7417", "carla # 2")];
    let friend = |(node, (addr, name)): (NodeId, (&str, &str))| KitFriend {
        addr: addr.parse().unwrap(),
        node,
        name: name.into(),
    };
    Kit { root: seed(2), friends: nodes.into_iter().zip(friends).map(friend).collect() }
}

pub(super) fn sample_text() -> String {
    let person = PersonKey::from_seed(&seed(2)).id();
    sample_kit().text(&person, &["family".into(), "a#b".into()], "2026-11-27").to_string()
}

#[test]
fn the_words_of_others_vectors() {
    // From the reference test vectors of BIP-39.
    let cases = [
        ([0; 32], "abandon ".repeat(23) + "art"),
        (
            [0x7f; 32],
            "legal winner thank year wave sausage worth useful legal winner thank year wave sausage \
          worth useful legal winner thank year wave sausage worth title"
                .into(),
        ),
        (
            [0x80; 32],
            "letter advice cage absurd amount doctor acoustic avoid letter advice cage absurd amount \
          doctor acoustic avoid letter advice cage absurd amount doctor acoustic bless"
                .into(),
        ),
        ([0xff; 32], "zoo ".repeat(23) + "vote"),
    ];
    for (bytes, words) in cases {
        let root = Seed::from_bytes(bytes);
        assert_eq!(*phrase_of(&root), words);
        assert_eq!(root_of_phrase(&words), Ok(root));
    }
}

#[test]
fn words_as_people_type_them() {
    let root = seed(2);
    let words = phrase_of(&root).to_string();
    let numbered: Vec<String> =
        words.split(' ').enumerate().map(|(i, w)| format!("{}. {w}", i + 1)).collect();
    for text in
        [words.to_uppercase(), words.replace(' ', "\r\n\t"), words.replace(' ', ", "), numbered.join("\n")]
    {
        assert_eq!(root_of_phrase(&text), Ok(root.clone()), "{text}");
        assert_eq!(phrase_words(&text), PHRASE_WORDS);
    }
}

#[test]
fn a_wrong_word_a_lost_word_and_a_wrong_checksum_are_told_apart() {
    let words = phrase_of(&seed(2)).to_string();
    let parts: Vec<&str> = words.split(' ').collect();
    let with = |at: usize, word: &str| {
        let mut parts = parts.clone();
        parts[at] = word;
        parts.join(" ")
    };
    assert_eq!(root_of_phrase(&with(4, "kith")), Err(PhraseError::Unknown(5)));
    assert_eq!(root_of_phrase(&with(23, "äpfel")), Err(PhraseError::Unknown(24)));
    assert_eq!(root_of_phrase(&parts[1..].join(" ")), Err(PhraseError::Count(23)));
    assert_eq!(root_of_phrase(&(words.clone() + " zoo")), Err(PhraseError::Count(25)));
    assert_eq!(root_of_phrase(""), Err(PhraseError::Count(0)));
    assert_eq!(root_of_phrase(&"a".repeat(PHRASE_TEXT_MAX + 1)), Err(PhraseError::TooLong));
    // Of all words in one place, eight bits of checksum let a few pass: each is another person.
    let zoo = with(0, "zoo");
    assert!(root_of_phrase(&zoo) == Err(PhraseError::Checksum) || root_of_phrase(&zoo) != Ok(seed(2)));
    let swapped = [&[parts[1], parts[0]], &parts[2..]].concat().join(" ");
    assert_eq!(root_of_phrase(&swapped), Err(PhraseError::Checksum));
    let said = PhraseError::Unknown(5).to_string();
    assert!(parts.iter().all(|word| !said.split(' ').any(|w| w == *word)), "no word is told: {said}");
}

#[test]
fn a_kit_is_read_again_whole_short_and_as_words_alone() {
    let kit = sample_kit();
    let unnamed = |kit: &Kit| -> Vec<_> { kit.friends.iter().map(|f| (f.addr, f.node)).collect() };
    for text in [sample_text(), kit.short().to_string()] {
        let read = Kit::parse(&text).unwrap();
        assert_eq!((read.root.clone(), unnamed(&read)), (kit.root.clone(), unnamed(&kit)), "{text}");
    }
    let words = Kit::parse(&phrase_of(&kit.root)).unwrap();
    assert!(words.root == kit.root && words.friends.is_empty());
    let text = sample_text();
    for part in ["What it is for", "How sensitive", "Drives: family, a#b", "2026-11-27", "ben", "carla # 2"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let lonely = Kit { friends: Vec::new(), ..kit.clone() };
    let text = lonely.text(&PersonKey::from_seed(&kit.root).id(), &[], "2026-11-27");
    assert!(text.contains("none yet") && Kit::parse(&text).unwrap().friends.is_empty());
    let one = Kit { friends: kit.friends[..1].to_vec(), ..kit.clone() };
    assert!(one.text(&PersonKey::from_seed(&kit.root).id(), &[], "x").contains("one only"));
    // Two addresses of one friend are one friend.
    let twice = Kit { friends: vec![kit.friends[0].clone(); 2], ..kit.clone() };
    assert_eq!((kit.nodes(), one.nodes(), twice.nodes()), (2, 1, 1));
}

#[test]
fn an_address_that_is_none() {
    let node = someone(20).device.node().to_string();
    for bad in
        ["", "192.0.2.7:7417", "192.0.2.7#x", "host:1#y", &format!("192.0.2.7#{node}"), &format!("#{node}")]
    {
        assert!(matches!(bad.parse::<KitFriend>(), Err(KitError::Friend(_))), "{bad}");
    }
    let text = format!("{}\n192.0.2.7:7417#short", *phrase_of(&seed(2)));
    assert!(matches!(Kit::parse(&text), Err(KitError::Friend(_))));
    let many = format!("192.0.2.7:7417#{node}\n").repeat(KIT_FRIENDS_MAX + 1);
    assert_eq!(Kit::parse(&format!("{}\n{many}", *phrase_of(&seed(2)))), Err(KitError::TooManyFriends));
}

#[test]
fn a_record_opens_for_its_person_alone() {
    let (person, signed) = (someone(2).person, sample_record());
    let record = RecoveryRecord::verify(&signed).unwrap();
    assert_eq!((record.person, record.generation), (person.id(), 7));
    assert_eq!(record.door, person.door().node());
    assert_eq!(record.open(&person), Ok(sample()));
    assert_eq!(record.open(&someone(3).person), Err(RecoveryError::OtherPerson));
    let stolen = RecoveryRecord { person: someone(3).person.id(), ..record };
    assert_eq!(stolen.open(&someone(3).person), Err(RecoveryError::Seal));
    assert_ne!(person.door().node(), someone(2).device.node());
}

#[test]
fn a_record_under_another_generation_or_with_any_bit_flipped() {
    let (person, signed) = (someone(2).person, sample_record());
    let record = RecoveryRecord::verify(&signed).unwrap();
    let later = RecoveryRecord { generation: 8, ..record.clone() };
    assert_eq!(later.open(&person), Err(RecoveryError::Seal));
    for at in [0, 1, 40, signed.bytes.len() / 2, signed.bytes.len() - 1] {
        let mut changed = signed.clone();
        changed.bytes[at] ^= 1;
        assert!(matches!(RecoveryRecord::verify(&changed), Err(RecoveryError::Signed(_))), "{at}");
    }
    let mut cut = record.clone();
    cut.sealed.truncate(20);
    assert_eq!(cut.open(&person), Err(RecoveryError::Seal));
    // Signed by somebody else in her name.
    let forged = Signed::record(someone(3).person.signing(), &record);
    assert!(matches!(RecoveryRecord::verify(&forged), Err(RecoveryError::Signed(_))));
}

#[test]
fn friends_see_neither_a_drive_more_nor_whose_names() {
    let person = someone(2).person;
    let len = |content: &RecoveryContent| content.seal(&person, 1).unwrap().bytes.len();
    let (one, mut two) = (sample(), sample());
    two.drives.push(RecoveryDrive { drive: DriveId([9; 32]), ..two.drives[0].clone() });
    assert_eq!(len(&one), len(&two));
    assert_ne!(one.hash(), two.hash());
    let bytes = one.seal(&person, 1).unwrap().bytes;
    for name in [&b"family"[..], b"laptop", b"ben"] {
        assert!(!bytes.windows(name.len()).any(|w| w == name));
    }
    assert_eq!(one.seal(&person, 1), one.seal(&person, 1), "the same content gives the same bytes");
}

#[test]
fn more_than_a_record_may_hold() {
    let person = someone(2).person;
    let mut content = sample();
    content.members = vec![content.members[0].clone(); 1500];
    assert!(matches!(content.seal(&person, 1), Err(RecoveryError::TooLong(_))));
    // What somebody signed all the same is refused by its length.
    let record = RecoveryRecord {
        person: person.id(),
        generation: 1,
        door: person.door().node(),
        sealed: vec![0; RECOVERY_SEALED_MAX + 1],
    };
    let signed = Signed::record(person.signing(), &record);
    assert!(matches!(RecoveryRecord::verify(&signed), Err(RecoveryError::TooLong(_))));
}

#[test]
fn the_door_is_a_device_of_its_own() {
    let door = someone(2).person.door();
    let keys: BTreeSet<_> = [door.node().0, door.signing().public(), someone(2).person.id().0].into();
    assert_eq!(keys.len(), 3);
}
