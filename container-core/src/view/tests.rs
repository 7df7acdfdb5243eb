//! What the types of a view promise by themselves.

use super::registry::View;
use super::{ViewAccess, ViewPath};
use crate::{Errno, GroupPath, Refusal, TaskName};

fn view_path(text: &str) -> ViewPath {
    text.parse().unwrap()
}

#[test]
fn a_path_that_no_group_of_a_view_can_have_is_refused_in_the_guests_own_words() {
    let long = format!("p:/{}", "x/".repeat(600));
    let wide = format!("p:/{}", "x".repeat(256));
    for (text, errno) in [
        ("p:/..", Errno::EINVAL),
        ("p:/a/../b", Errno::EINVAL),
        ("p:/.", Errno::EINVAL),
        ("p:/a//b", Errno::EINVAL),
        ("p:/a/", Errno::EINVAL),
        ("p:a", Errno::EINVAL),
        ("p", Errno::EINVAL),
        (":/a", Errno::EINVAL),
        ("p q:/a", Errno::EINVAL),
        ("p:/a\nb", Errno::EINVAL),
        ("p:/a\0b", Errno::EINVAL),
        (&wide, Errno::ENAMETOOLONG),
        (&long, Errno::ENAMETOOLONG),
    ] {
        assert_eq!(
            text.parse::<ViewPath>().unwrap_err().errno,
            errno,
            "{text:?}"
        );
    }
    let longest = format!("p:/{0}/{0}/{0}/{1}", "x".repeat(255), "y".repeat(253));
    assert_eq!(longest.len(), ViewPath::MAX_BYTES);
    let longest = view_path(&longest);
    assert_eq!(longest.child("z").unwrap_err().errno, Errno::ENAMETOOLONG);
    assert_eq!(longest.components().count(), longest.depth());
}

#[test]
fn a_path_has_1024_bytes_and_not_one_more_however_it_came_to_be() {
    let above = |bytes: usize| {
        let path = format!("pp:/{0}/{0}/{0}/", "x".repeat(255));
        let name = "y".repeat(bytes - path.len());
        path + &name
    };
    let root: GroupPath = "pp:/".parse().unwrap();
    for (bytes, fits) in [(1020, true), (1021, true), (1022, true), (1023, false)] {
        let child = view_path(&above(bytes)).child("z");
        assert_eq!(child.is_ok(), fits, "{bytes} and two more");
        let on_host: GroupPath = format!("{}/z", above(bytes)).parse().unwrap();
        assert_eq!(ViewPath::of(&on_host, &root), child.ok());
        let whole = above(bytes + 2);
        assert_eq!(whole.parse::<ViewPath>().is_ok(), fits);
    }
}

#[test]
fn a_path_goes_to_the_host_and_back_under_every_root() {
    for root in ["p:/", "p:/gold", "p:/gold/web"] {
        let root: GroupPath = root.parse().unwrap();
        for text in ["p:/", "p:/gold", "p:/a/b c/p:"] {
            let path = view_path(text);
            assert_eq!(format!("{path} {path:?}"), format!("{text} {text}"));
            assert_eq!(ViewPath::of(&path.on_host(&root), &root), Some(path));
        }
    }
}

#[test]
fn no_group_beside_above_or_in_another_tree_has_a_name_in_the_view() {
    let root: GroupPath = "p:/gold/web".parse().unwrap();
    let long = format!("p:/gold/web/{0}/{0}/{0}/{0}/{0}", "x".repeat(255));
    for outside in [
        "p:/",
        "p:/gold",
        "p:/gold/webs",
        "p:/gold/we",
        "b:/gold/web",
        "p:/a/gold/web",
        &long,
    ] {
        assert_eq!(
            ViewPath::of(&outside.parse().unwrap(), &root),
            None,
            "{outside}"
        );
    }
}

#[test]
fn a_sentence_is_retold_only_where_all_that_it_names_is_the_guests() {
    let view = View {
        machine: "web".parse().unwrap(),
        access: ViewAccess::Delegate,
        roots: Default::default(),
    };
    let root: GroupPath = "p:/gold/web".parse().unwrap();
    let told = |task: &str, group: &str| {
        let (task, group): (TaskName, GroupPath) = (task.parse().unwrap(), group.parse().unwrap());
        let parts = [(&task).into(), " has no room in ".into(), (&group).into()];
        let told = view.retell(Refusal::about(Errno::ENOSPC, parts), &root);
        assert_eq!(told.errno, Errno::ENOSPC);
        told.rule
    };
    let above = "a limit above the root of this view refuses it";
    for (task, group, rule) in [
        (
            "web/vcpu1",
            "p:/gold/web/hot",
            "vcpu1 has no room in p:/hot",
        ),
        ("db/vcpu1", "p:/gold/web/hot", above),
        ("web/vcpu1", "p:/gold", above),
    ] {
        assert_eq!(told(task, group), rule, "{task} {group}");
    }
}
