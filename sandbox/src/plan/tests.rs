use super::*;

fn sample() -> Plan {
    Plan {
        policy: Policy {
            access: Access::WorkspaceWrite,
            writable_roots: vec![PathBuf::from("/work/space"), PathBuf::from("/tmp")],
            network: true,
            unreadable: vec![PathBuf::from("/home/someone/.secret")],
            protected: vec![PathBuf::from("/work/space/.git/config")],
            nested: vec![PathBuf::from("/w/sub/.git/config")],
            sealed: vec![PathBuf::from("/home/someone/.windlass")],
        },
        apart: Some(Apart::View),
        program: b"sh".to_vec(),
        argv: vec![b"-sh".to_vec(), Vec::new(), vec![0xff, 0xfe]],
        env: vec![(b"PATH".to_vec(), b"/bin".to_vec()), (b"EMPTY".to_vec(), Vec::new())],
        cwd: PathBuf::from("/"),
        pty: true,
        background: false,
        grace_ms: 500,
        nofile: Some(1024),
    }
}

fn check_refused(change: impl FnOnce(&mut Plan), expected: PlanError) {
    let mut plan = sample();
    change(&mut plan);
    assert_eq!(plan.encode(1), Err(expected));
}

#[test]
fn a_plan_survives_the_way() {
    let plan = sample();
    let record = plan.encode(42).unwrap();
    assert_eq!(Plan::decode(&record), Ok((plan, 42)));

    let mut plan = sample();
    plan.policy.access = Access::Full;
    plan.policy.network = false;
    plan.apart = None;
    plan.pty = false;
    plan.background = true;
    plan.nofile = None;
    let record = plan.encode(7).unwrap();
    assert_eq!(Plan::decode(&record), Ok((plan, 7)));
}

#[test]
fn a_cut_or_longer_record_is_refused() {
    let record = sample().encode(1).unwrap();
    for len in 0..record.len() {
        assert!(Plan::decode(&record[..len]).is_err(), "cut to {len}");
        let mut cut = record[..len].to_vec();
        if let Some(length) = cut.get_mut(LENGTH_AT..LENGTH_AT + 4) {
            length.copy_from_slice(&u32::try_from(len).unwrap().to_le_bytes());
        }
        assert!(Plan::decode(&cut).is_err(), "cut to {len}, length adjusted");
    }
    let mut longer = record.clone();
    longer.push(0);
    assert_eq!(Plan::decode(&longer), Err(PlanError::WrongLength));
    let length = u32::try_from(longer.len()).unwrap();
    longer[LENGTH_AT..LENGTH_AT + 4].copy_from_slice(&length.to_le_bytes());
    assert_eq!(Plan::decode(&longer), Err(PlanError::WrongLength));
}

#[test]
fn any_changed_byte_is_refused_or_another_plan() {
    let record = sample().encode(1).unwrap();
    for index in 0..record.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut changed = record.clone();
            changed[index] = value;
            if let Ok((plan, agent_pid)) = Plan::decode(&changed) {
                assert_eq!(plan.encode(agent_pid).as_deref(), Ok(changed.as_slice()));
            }
        }
    }
}

#[test]
fn another_version_is_told_apart() {
    let mut record = sample().encode(1).unwrap();
    record[4] = 9;
    assert_eq!(Plan::decode(&record), Err(PlanError::OtherVersion(9)));
    assert_eq!(Plan::decode(b"ELF"), Err(PlanError::NotAPlan));
    assert_eq!(Plan::decode(b""), Err(PlanError::NotAPlan));
}

#[test]
fn what_cannot_be_run_is_refused_by_the_agent() {
    check_refused(|plan| plan.argv.clear(), PlanError::NoArguments);
    check_refused(|plan| plan.program = b"a\0b".to_vec(), PlanError::HoldsNul);
    check_refused(|plan| plan.env[0].0 = b"A=B".to_vec(), PlanError::BadVariable);
    check_refused(|plan| plan.env[0].0.clear(), PlanError::BadVariable);
    check_refused(|plan| plan.cwd = PathBuf::from("here"), PlanError::RelativePath);
    check_refused(|plan| plan.grace_ms = GRACE_MS_MAX + 1, PlanError::GraceTooLong);
    check_refused(
        |plan| plan.policy.unreadable = vec![PathBuf::from("/a"); PATHS_COUNT_MAX + 1],
        PlanError::TooMany,
    );
    check_refused(
        |plan| plan.cwd = PathBuf::from(format!("/{}", "a".repeat(PATH_BYTES_MAX))),
        PlanError::TooLong,
    );
    check_refused(|plan| plan.argv = vec![vec![b'a'; RECORD_BYTES_MAX]], PlanError::TooLong);
}

#[test]
fn a_count_beyond_the_record_allocates_nothing() {
    let mut plan = sample();
    plan.env.clear();
    let mut record = plan.encode(1).unwrap();
    let end = record.len();
    record[end - 4..].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(Plan::decode(&record), Err(PlanError::Cut));
}
