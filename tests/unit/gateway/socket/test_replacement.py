from gateway.socket.replacement import instance_of
from schemas.client_frames import ClientInfo


def named(device: str, instance: str) -> str | None:
    return instance_of(ClientInfo(device_id=device, instance_id=instance))


def test_a_running_copy_is_named_by_both_ids_in_one_word_and_only_by_both():
    assert named("d", "i") == named("d", "i")
    assert len({named("d", "i"), named("i", "d"), named("d", "j"), named("di", ""), named("d|", "i")}) == 5
    assert named("d", "") is None
    assert named("", "i") is None
    word = named("a b\n|", "\0 c")
    assert word is not None
    assert word.isalnum()
