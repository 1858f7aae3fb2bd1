from gateway.socket.wants import MAX_PEOPLE, MAX_WATCHED, Wants
from schemas.ids import ConversationId, UserId


def test_a_connection_watches_up_to_a_bound_and_one_of_them_again_at_any_time():
    wants = Wants()
    rooms = [ConversationId(str(n)) for n in range(MAX_WATCHED)]
    assert all(wants.watch(room) for room in rooms)
    assert not wants.watch(ConversationId("one more"))
    assert wants.watch(rooms[0])
    assert wants.watched == set(rooms)


def test_a_connection_wants_to_know_up_to_a_bound_of_people_all_or_none_of_a_request():
    wants = Wants()
    people = [UserId(str(n)) for n in range(MAX_PEOPLE)]
    assert wants.subscribe(people[:-1])
    assert not wants.subscribe([people[-1], UserId("one more")])
    assert wants.people == set(people[:-1])
    assert wants.subscribe([people[-1], people[0]])
    assert wants.people == set(people)
