from gateway.socket.wants import MAX_WATCHED, Wants
from schemas.ids import ConversationId


def test_a_connection_watches_up_to_a_bound_and_one_of_them_again_at_any_time():
    wants = Wants()
    rooms = [ConversationId(str(n)) for n in range(MAX_WATCHED)]
    assert all(wants.watch(room) for room in rooms)
    assert not wants.watch(ConversationId("one more"))
    assert wants.watch(rooms[0])
    assert wants.watched == set(rooms)
