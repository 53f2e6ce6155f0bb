// Goal: a change is always read with the shape that the server means.
#include <gtest/gtest.h>

#include "base/error.hpp"
#include "wire/relations.hpp"

namespace {

using namespace pgcarve;
using namespace pgcarve::wire;

constexpr TransactionId nowhere{};
constexpr TransactionId big{700};
constexpr TransactionId other{800};
constexpr base::Oid orders{16389};

// A relation whose only column tells one message from another.
void say(Relations& relations, std::string_view column, TransactionId stream, TransactionId xid = {}) {
    RelationColumn const only{true, column, {23}, -1};
    relations.replace({xid, orders, "public", "orders", ReplicaIdentity::full, {&only, 1}}, stream);
}

std::string heard(Relations const& relations, TransactionId stream) {
    try {
        return relations.find(orders, stream)->columns.at(0).name;
    } catch (base::Error const& e) {
        EXPECT_EQ(e.code(), "protocol");
        EXPECT_NE(e.message().find("relation 16389, which it has not described"), std::string::npos);
        return "unknown";
    }
}

TEST(Relations, KeepCopies) {
    Relations relations;
    {
        std::string schema = "public";
        std::string name = "orders";
        std::string first = "id";
        std::string second = "note";
        std::vector<RelationColumn> const columns{{true, first, {20}, -1}, {false, second, {1043}, 14}};
        relations.replace({{}, orders, schema, name, ReplicaIdentity::index, columns}, nowhere);
        schema = name = first = second = "gone";
    }
    RelationShape const want{orders, "public", "orders", ReplicaIdentity::index, {{true, "id", {20}, -1}, {false, "note", {1043}, 14}}};
    EXPECT_EQ(*relations.find(orders, nowhere), want);
}

TEST(Relations, EveryMessageReplacesTheLast) {
    Relations relations;
    EXPECT_EQ(heard(relations, nowhere), "unknown");
    say(relations, "one", nowhere);
    auto const before = relations.find(orders, nowhere);
    say(relations, "two", nowhere);
    EXPECT_EQ(heard(relations, nowhere), "two");
    EXPECT_EQ(before->columns.at(0).name, "one") << "a change that waits keeps its shape";
}

TEST(Relations, AStreamedTransactionKeepsItsOwn) {
    Relations relations;
    say(relations, "one", nowhere);
    EXPECT_EQ(heard(relations, big), "unknown") << "the server says it again for each";
    say(relations, "two", big, {701});
    EXPECT_EQ(heard(relations, big), "two");
    EXPECT_EQ(heard(relations, nowhere), "one");
    EXPECT_EQ(heard(relations, other), "unknown");
    relations.stream_aborted(big);
    EXPECT_EQ(heard(relations, nowhere), "one");
    EXPECT_EQ(heard(relations, big), "unknown");
}

TEST(Relations, ACommittedStreamTellsEverybody) {
    Relations relations;
    say(relations, "one", nowhere);
    say(relations, "two", big);
    relations.stream_committed(big);
    EXPECT_EQ(heard(relations, nowhere), "two");
    EXPECT_EQ(heard(relations, big), "unknown");
    relations.stream_committed(other);
    EXPECT_EQ(heard(relations, nowhere), "two");
}

TEST(Relations, ACommitBringsNothingBackThatWasSaidAnewSince) {
    Relations relations;
    say(relations, "one", big);
    say(relations, "two", nowhere);
    say(relations, "three", other);
    relations.stream_committed(big);
    EXPECT_EQ(heard(relations, nowhere), "two");
    relations.stream_committed(other);
    EXPECT_EQ(heard(relations, nowhere), "three");
}

TEST(Relations, ARowOfAnotherWidthIsAnError) {
    Relations relations;
    say(relations, "one", nowhere);
    std::vector<Column> const row{{ColumnState::null}, {ColumnState::null}};
    relations.find(orders, nowhere)->check(Tuple{row}.first(1));
    EXPECT_THROW(relations.find(orders, nowhere)->check(row), base::Error);
    EXPECT_THROW(relations.find(orders, nowhere)->check(Tuple{row}.first(0)), base::Error);
}

} // namespace
