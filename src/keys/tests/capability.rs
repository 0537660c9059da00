use super::*;

fn head() -> AdminHead {
    AdminHead { len: 3, hash: Hash([7; 32]) }
}

fn capability(power: Power) -> Capability {
    let (drive, epoch, read) = (DriveId([8; 32]), Epoch(2), ReadKey::from_bytes([9; 32]));
    let secret = EnrolmentSecret::from_bytes([10; 16]);
    match power {
        Power::Admin => {
            let admin = SigningKey::from_seed(&seed(11));
            Capability::admin(drive, epoch, head(), read, secret, &admin)
        }
        Power::Write => Capability::writer(drive, epoch, head(), read, secret),
        less => {
            let key = LevelKey::Read(read).diminish(less).unwrap();
            Capability::reader(drive, epoch, head(), key)
        }
    }
}

const POWERS: [Power; 5] = [Power::Verify, Power::Repair, Power::Read, Power::Write, Power::Admin];

fn parse(text: &str) -> Result<Capability, CapabilityError> {
    text.parse()
}

/// A text with the right checksum, whatever it says.
fn text_of(word: &str, payload: &[u8]) -> String {
    let letters = encode_text(Purpose::CapabilityChecksum, word, payload);
    format!("kith:{word}:{}", letters.as_str())
}

fn payload_of(power: Power) -> Vec<u8> {
    let text = capability(power).to_text();
    let (_, letters) = text.rsplit_once(':').unwrap();
    let word = power.to_string();
    decode_text(Purpose::CapabilityChecksum, &word, letters, CAPABILITY_MAX).unwrap().to_vec()
}

#[test]
fn every_power_survives_being_text() {
    for power in POWERS {
        let capability = capability(power);
        let text = capability.to_text();
        assert!(text.starts_with(&format!("kith:{power}:")), "{}", text.as_str());
        assert_eq!(parse(&text).unwrap(), capability);
        assert_eq!(parse(&format!(" {}\n", text.as_str())).unwrap(), capability);
        assert_eq!(capability.secret().is_some(), power >= Power::Write);
        assert_eq!(capability.admin_key().is_some(), power == Power::Admin);
    }
}

#[test]
fn diminishing_gives_exactly_the_lesser_power() {
    for have in POWERS {
        for wanted in POWERS {
            let result = capability(have).diminish(wanted);
            if wanted > have {
                assert_eq!(result, Err(CapabilityError::Upwards { have, wanted }));
                continue;
            }
            let less = result.unwrap();
            let mut expected = capability(wanted);
            if (have, wanted) == (Power::Admin, Power::Write) {
                assert_ne!(less.secret(), expected.secret(), "one secret for two powers");
                expected = less.clone();
            }
            assert_eq!(less, expected);
            assert_eq!(parse(&less.to_text()).unwrap().power(), wanted);
        }
    }
}

#[test]
fn a_lesser_capability_holds_no_greater_key() {
    let read = [9; 32];
    let repair = *LevelKey::new(Power::Read, read).diminish(Power::Repair).unwrap().expose();
    let contains = |power, key: &[u8]| payload_of(power).windows(key.len()).any(|part| part == key);
    assert!(contains(Power::Read, &read) && contains(Power::Write, &read));
    assert!(contains(Power::Repair, &repair));
    assert!(!contains(Power::Repair, &read) && !contains(Power::Verify, &read));
    assert!(!contains(Power::Verify, &repair));
    assert!(contains(Power::Admin, &[11; 32]) && !contains(Power::Write, &[11; 32]));
    assert!(contains(Power::Write, &[10; 16]) && !contains(Power::Read, &[10; 16]));
}

#[test]
fn one_letter_changed() {
    for power in POWERS {
        let text = capability(power).to_text();
        let start = text.rfind(':').unwrap() + 1;
        for at in start..text.len() {
            for letter in "abcdefghijklmnopqrstuvwxyz234567".chars() {
                let mut changed = text.to_string();
                changed.replace_range(at..=at, &letter.to_string());
                if changed == **text {
                    continue;
                }
                let error = parse(&changed).unwrap_err();
                // The last letter has bits to spare, which must be zero.
                let cut = at == text.len() - 1 && error == CapabilityError::Text(TextError::Cut);
                assert!(cut || error == CapabilityError::Text(TextError::Checksum), "{error}");
            }
        }
    }
}

#[test]
fn the_message_for_a_changed_letter_says_so() {
    let mut text = capability(Power::Read).to_text().to_string();
    let letter = if &text[20..21] == "a" { "b" } else { "a" };
    text.replace_range(20..21, letter);
    let message = parse(&text).unwrap_err().to_string();
    let expected = "the capability is damaged: its checksum does not fit: \
                    a letter was changed, added or lost";
    assert_eq!(message, expected);
}

#[test]
fn another_power_word() {
    let text = capability(Power::Read).to_text();
    for power in POWERS.into_iter().filter(|&power| power != Power::Read) {
        let changed = text.replacen("read", &power.to_string(), 1);
        assert_eq!(parse(&changed), Err(CapabilityError::Text(TextError::Checksum)));
    }
    for word in ["", "Read", "root", "reads"] {
        let changed = text.replacen("read", word, 1);
        assert_eq!(parse(&changed), Err(CapabilityError::Power));
    }
}

#[test]
fn wrong_power_under_a_right_checksum() {
    for (word, holds) in [
        (Power::Write, Power::Read),
        (Power::Admin, Power::Write),
        (Power::Read, Power::Write),
        (Power::Write, Power::Admin),
        (Power::Verify, Power::Admin),
    ] {
        let text = text_of(&word.to_string(), &payload_of(holds));
        assert_eq!(parse(&text), Err(CapabilityError::WrongPower(word)));
    }
}

#[test]
fn truncated() {
    let text = capability(Power::Write).to_text();
    for len in 0..text.len() {
        assert!(parse(&text[..len]).is_err(), "cut to {len}");
    }
}

#[test]
fn lengthened() {
    let text = capability(Power::Write).to_text();
    for more in ["a", "aa", "aaaaaaaa", "7", ":"] {
        assert!(parse(&format!("{}{more}", text.as_str())).is_err());
    }
}

#[test]
fn letters_of_another_alphabet() {
    let text = capability(Power::Read).to_text();
    let (head, letters) = text.split_at(10);
    let upper = format!("{head}{}", letters.to_ascii_uppercase());
    assert!(matches!(parse(&upper), Err(CapabilityError::Text(TextError::Character(_)))));
    for strange in ["1", "0", "8", " ", "=", "é"] {
        let changed = format!("{head}{strange}{}", &letters[1..]);
        let expected = CapabilityError::Text(TextError::Character(1));
        assert_eq!(parse(&changed), Err(expected));
    }
}

#[test]
fn no_capability_at_all() {
    for text in ["", "kith", "kith:", "kith:read", "read:abc", "KITH:read:abc", "tahoe:read:abc"] {
        assert_eq!(parse(text), Err(CapabilityError::NotCapability), "{text}");
    }
    assert_eq!(parse("kith:read:"), Err(CapabilityError::Text(TextError::Cut)));
    let long = format!("kith:read:{}", "a".repeat(CAPABILITY_MAX + 1));
    assert_eq!(parse(&long), Err(CapabilityError::Text(TextError::TooLong(CAPABILITY_MAX))));
}

#[test]
fn malformed_under_a_right_checksum() {
    let good = payload_of(Power::Read);
    let refuse = |payload: &[u8], error| {
        assert_eq!(parse(&text_of("read", payload)), Err(CapabilityError::Decode(error)));
    };
    for cut in 0..good.len() {
        refuse(&good[..cut], DecodeError::Malformed);
    }
    refuse(&[&good[..], &[0]].concat(), DecodeError::Trailing);
    refuse(&[&[2], &good[1..]].concat(), DecodeError::UnknownVersion(2));
    // The epoch, 2, as two bytes.
    assert_eq!(good[33], 2);
    refuse(&[&good[..33], &[0x82, 0], &good[34..]].concat(), DecodeError::NotCanonical);
}

#[test]
fn debug_shows_no_secret() {
    let shown = format!("{:?}", capability(Power::Admin));
    for secret in ["9, 9, 9", "10, 10, 10", "11, 11, 11"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn a_capability_unlocks_its_drive() {
    let Founded { log, keys, admin, .. } = found();
    let LevelKey::Read(read) = keys.level(Epoch(1)).unwrap().clone() else {
        panic!("the founder reads");
    };
    let secret = EnrolmentSecret::from_bytes([10; 16]);
    let full = Capability::admin(log.drive(), log.epoch(), log.head(), read, secret, &admin);
    for power in POWERS {
        let given = parse(&full.diminish(power).unwrap().to_text()).unwrap();
        log.require(&given.head()).unwrap();
        let keys = log.unlock(given.epoch(), given.key().clone()).unwrap();
        assert_eq!(keys.power(), power.min(Power::Read));
    }
}
