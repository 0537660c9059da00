//! Which messages are signed, in which domain, and how long they may be.

use super::{
    ADDRS_MAX, DETAIL_MAX, Grant, LABEL_MAX, LogReceipt, Member, Receipt, Refusal, Statement, VECTOR_MAX,
};
use crate::keys::{Domain, Record};

impl Record for Grant {
    const DOMAIN: Domain = Domain::Grant;
    const MAX: usize = 256;
}

impl Record for Receipt {
    const DOMAIN: Domain = Domain::Receipt;
    const MAX: usize = 256;
}

impl Record for LogReceipt {
    const DOMAIN: Domain = Domain::LogReceipt;
    const MAX: usize = 128 + VECTOR_MAX * 80;
}

impl Record for Refusal {
    const DOMAIN: Domain = Domain::Refusal;
    const MAX: usize = 256 + DETAIL_MAX;
}

impl Record for Statement {
    const DOMAIN: Domain = Domain::Statement;
    const MAX: usize = 512;
}

impl Record for Member {
    const DOMAIN: Domain = Domain::Member;
    const MAX: usize = 320 + LABEL_MAX + ADDRS_MAX * 32;
}
