"""Where a sink worker's partitions stand, through assignments, doubts and changed topics."""

from evometrics.sinks.worker.batch import Partition
from evometrics.sinks.worker.progress import SinkProgress

ONE, OTHER = Partition("one", 0), Partition("other", 3)


def test_a_worker_has_no_assignment_until_the_group_gives_one() -> None:
    progress = SinkProgress()
    assert progress.assigned is None and progress.generation == 0
    progress.assign([ONE])
    assert progress.assigned == {ONE} and progress.generation == 1
    progress.revoke()
    assert progress.assigned == frozenset() and progress.generation == 1


def test_where_partitions_resume_is_known_for_one_assignment() -> None:
    progress = SinkProgress()
    progress.begin(1)
    progress.stored({ONE: 5})
    progress.begin(1)
    assert progress.starts == {ONE: 5}
    progress.begin(2)
    assert progress.starts == {}
    assert progress.committed == {ONE: 5}


def test_after_a_doubtful_commit_it_is_not_known_in_the_same_assignment_either() -> None:
    progress = SinkProgress()
    progress.begin(1)
    progress.stored({ONE: 5})
    progress.forget()
    assert progress.starts == {}
    progress.stored({ONE: 9})
    progress.begin(1)
    assert progress.starts == {}


def test_a_changed_topic_takes_its_own_partitions_along() -> None:
    progress = SinkProgress()
    progress.begin(1)
    progress.stored({ONE: 5, OTHER: 7})
    progress.forget_topics({"one"})
    assert progress.starts == progress.committed == {OTHER: 7}
