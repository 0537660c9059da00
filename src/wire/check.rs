//! The limits inside messages, checked on both sides.

use super::*;
use crate::keys::{CERTIFICATE_MAX, RECOVERY_RECORD_MAX, Record, Signed};

fn at_most(what: &'static str, is: usize, max: usize) -> Result<(), WireError> {
    if is > max {
        return Err(WireError::OverLimit { what, is: is as u64, max: max as u64 });
    }
    Ok(())
}

fn entries(entries: &[Vec<u8>]) -> Result<(), WireError> {
    at_most("entries", entries.len(), FETCH_ENTRIES_MAX)?;
    entries.iter().try_for_each(|e| at_most("bytes of an entry", e.len(), ENTRY_MAX))
}

fn roster(records: &[Signed], revocations: &[Signed]) -> Result<(), WireError> {
    at_most("roster records", records.len(), ROSTER_MAX)?;
    at_most("revocations", revocations.len(), ROSTER_MAX)
}

fn record(record: &Signed) -> Result<(), WireError> {
    at_most("bytes of a recovery record", record.bytes.len(), RECOVERY_RECORD_MAX)
}

fn lease(lease: &Lease) -> Result<(), WireError> {
    if lease.len > SHARE_MAX {
        return Err(WireError::OverLimit { what: "bytes of a share", is: lease.len, max: SHARE_MAX });
    }
    Ok(())
}

fn ranges(ranges: &[Range]) -> Result<(), WireError> {
    at_most("ranges", ranges.len(), GET_RANGES_MAX)?;
    let mut total = 0u64;
    for r in ranges {
        let end = r.offset.saturating_add(u64::from(r.len));
        if end > SHARE_MAX {
            return Err(WireError::OverLimit { what: "end of a range", is: end, max: SHARE_MAX });
        }
        total += u64::from(r.len);
    }
    if total > GET_MAX {
        return Err(WireError::OverLimit { what: "bytes asked for", is: total, max: GET_MAX });
    }
    Ok(())
}

pub(super) fn request(request: &Request) -> Result<(), WireError> {
    match request {
        Request::Hello { label, .. } => at_most("bytes of a label", label.len(), LABEL_MAX),
        Request::Offer { lease: l, grants } | Request::Put { lease: l, grants, .. } => {
            at_most("grants", grants.len(), GRANTS_MAX)?;
            lease(l)
        }
        Request::Get { ranges: r, leaf, .. } => {
            at_most("leaf", usize::from(*leaf), usize::from(LEAF_BULK))?;
            ranges(r)
        }
        Request::LeaseRenew { shares, .. } => at_most("leases", shares.len(), LEASES_MAX),
        Request::LeaseRelease { shares, .. } | Request::LeaseCancelRelease { shares, .. } => {
            at_most("leases", shares.len(), LEASES_MAX)
        }
        Request::LeaseAdopt { leases, grants } => {
            at_most("leases", leases.len(), LEASES_MAX)?;
            at_most("grants", grants.len(), GRANTS_MAX)?;
            leases.iter().try_for_each(lease)
        }
        Request::LogOpen { admin, grants, .. } => {
            at_most("admin records", admin.len(), ADMIN_RECORDS_MAX)?;
            at_most("grants", grants.len(), GRANTS_MAX)
        }
        Request::LogAppend { entries: e, .. } => entries(e),
        Request::LogFetch { vector, .. } => at_most("logs in a vector", vector.len(), VECTOR_MAX),
        Request::LogWatch { vector, wait_ms, .. } => {
            at_most("logs in a vector", vector.len(), VECTOR_MAX)?;
            at_most("wait in ms", *wait_ms as usize, WATCH_MAX.as_millis() as usize)
        }
        Request::GrantChain { grants } => at_most("grants", grants.len(), GRANTS_MAX),
        Request::Roster { records, revocations } => roster(records, revocations),
        Request::Join { body, .. } => at_most("bytes of a join", body.len(), JOIN_MAX - JOIN_HEAD),
        Request::Notice { reason, .. } => at_most("bytes of a reason", reason.len(), DETAIL_MAX),
        Request::LossDeclaration { shares } => at_most("shares", shares.len(), LEASES_MAX),
        Request::Punch { addrs, .. } => at_most("addresses", addrs.len(), ADDRS_MAX),
        Request::Transfer { bytes } => at_most("bytes of a transfer", bytes.len(), JOIN_MAX),
        Request::RecoveryPut { record: r, grants } => {
            at_most("grants", grants.len(), GRANTS_MAX)?;
            record(r)
        }
        Request::Recover { certificate, member } => {
            at_most("bytes of a certificate", certificate.bytes.len(), CERTIFICATE_MAX)?;
            at_most("bytes of a member record", member.bytes.len(), Member::MAX)
        }
        Request::Statement { .. }
        | Request::GrantGive { .. }
        | Request::Away { .. }
        | Request::Relay { .. } => Ok(()),
    }
}

pub(super) fn response(response: &Response) -> Result<(), WireError> {
    match response {
        Response::Hello { label, .. } => at_most("bytes of a label", label.len(), LABEL_MAX),
        Response::Data { len, .. } if *len > DATA_MAX => {
            Err(WireError::OverLimit { what: "bytes of an answer", is: *len, max: DATA_MAX })
        }
        Response::Leases { done } => at_most("leases", done.len(), LEASES_MAX),
        Response::LogEntries { admin, entries: e, .. } => {
            at_most("admin records", admin.len(), ADMIN_RECORDS_MAX)?;
            entries(e)
        }
        Response::Roster { records, revocations } => roster(records, revocations),
        Response::Recovery { record: r } => record(r),
        _ => Ok(()),
    }
}
