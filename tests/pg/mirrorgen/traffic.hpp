// Random statements over a Shape: every kind that PostgreSQL knows to write rows with.
#pragma once

#include "pg/mirrorgen/shapes.hpp"

namespace pgcarve::test {

class Traffic {
public:
    Traffic(Shape const& shape, Dice& dice) : shape_{shape}, dice_{dice} {}

    std::string statement() {
        if (shape_.child && dice_.chance(30))
            return on_child();
        switch (dice_.roll(0, 17)) {
        case 0:
        case 1: return insert(1);
        case 2: return insert(dice_.roll(2, 6));
        case 3: return fmt::format("UPDATE {} SET n = n + 1, s = 'one' WHERE {}", table(), shape_.is_key(key()));
        case 4: return fmt::format("UPDATE {} SET n = n + 1 WHERE n % 3 = {}", table(), dice_.roll(0, 2));
        case 5: return fmt::format("UPDATE @.p SET num = {} WHERE n % 2 = {}", dice_.pick({"1.0", "1.00", "1.000", "NULL", "num + 0.10"}), dice_.roll(0, 1));
        case 6: return change_key();
        case 7: return shift_keys();
        case 8: return change_unique();
        case 9: return fmt::format("DELETE FROM {} WHERE {}", table(), shape_.is_key(key()));
        case 10: return fmt::format("DELETE FROM {} WHERE n % 7 = {}", table(), dice_.roll(0, 6));
        case 11: return upsert();
        case 12: return merge();
        case 13: return copy();
        case 14: return writable_cte();
        case 15: return dice_.chance(25) ? truncate() : insert(4);
        case 16: return shape_.self_reference ? point() : insert(3);
        default: return dice_.chance(30) ? "SET CONSTRAINTS ALL DEFERRED" : insert(2);
        }
    }

private:
    int key() { return dice_.roll(1, 29); }
    std::string unique() { return dice_.chance(40) ? "NULL" : std::to_string(dice_.roll(1, 60)); }
    // Mostly the root, sometimes a partition.
    std::string table() {
        if (shape_.partitions == 0 || dice_.chance(60))
            return "@.p";
        if (shape_.partitions == 2)
            return dice_.pick({"@.p_1", "@.p_2", "@.p_2a", "@.p_2b", "@.p_3"});
        return dice_.pick({"@.p_1", "@.p_2", "@.p_3"});
    }
    std::string row() {
        auto const given = shape_.key == KeyType::identity ? std::string{} : shape_.key_value(key()) + ", ";
        return fmt::format("({}{}, {}, 'r{}', {}.{})", given, unique(), dice_.roll(0, 30), dice_.roll(0, 9), dice_.roll(0, 9), dice_.roll(10, 99));
    }
    [[nodiscard]] std::string into() const {
        return shape_.key == KeyType::identity ? "(u, n, s, num)" : "(" + shape_.key_columns() + ", u, n, s, num)";
    }
    std::string insert(int rows) {
        auto sql = fmt::format("INSERT INTO {} {} VALUES ", rows == 1 ? table() : "@.p", into());
        for (int i = 0; i < rows; ++i)
            sql += (i > 0 ? ", " : "") + row();
        return sql + (dice_.chance(50) && !shape_.deferrable() ? " ON CONFLICT DO NOTHING" : "");
    }
    std::string change_key() {
        if (shape_.key == KeyType::identity)
            return fmt::format("UPDATE @.p SET k = DEFAULT WHERE k = {}", key());
        return fmt::format("UPDATE @.p SET {}, s = 'moved' WHERE {}", shape_.set_key(key()), shape_.is_key(key()));
    }
    std::string shift_keys() {
        if (!shape_.number_key())
            return change_key();
        auto const a = key();
        auto const b = key();
        return dice_.pick({"UPDATE @.p SET k = k + 1 WHERE k < 29", "UPDATE @.p SET k = k - 1", "UPDATE @.p SET k = k * 1.00",
                           fmt::format("UPDATE @.p SET k = CASE k WHEN {0} THEN {1} ELSE {0} END WHERE k IN ({0}, {1})", a, b)});
    }
    std::string change_unique() {
        return dice_.pick({fmt::format("UPDATE @.p SET u = {} WHERE {}", unique(), shape_.is_key(key())), "UPDATE @.p SET u = u + 1",
                           "UPDATE @.p SET u = u - 1 WHERE u % 2 = 0", "UPDATE @.p SET u = 61 - u"});
    }
    std::string upsert() {
        if (shape_.deferrable_key || shape_.key == KeyType::identity)
            return insert(2);
        return fmt::format("INSERT INTO @.p {} VALUES {} ON CONFLICT ({}) DO UPDATE SET n = @.p.n + 1, u = EXCLUDED.u", into(), row(),
                           shape_.key_columns());
    }
    std::string merge() {
        if (!shape_.merge || shape_.key == KeyType::identity || shape_.key == KeyType::composite)
            return insert(5);
        return fmt::format("MERGE INTO @.p AS t USING (VALUES ({}, {}), ({}, {})) AS v (k, u) ON t.k = v.k "
                           "WHEN MATCHED AND t.n % 2 = 0 THEN DELETE WHEN MATCHED THEN UPDATE SET n = t.n + 1, u = v.u "
                           "WHEN NOT MATCHED THEN INSERT (k, u, s) VALUES (v.k, v.u, 'merged')",
                           shape_.key_value(dice_.roll(1, 14)), dice_.roll(1, 60), shape_.key_value(dice_.roll(15, 29)), dice_.roll(1, 60));
    }
    std::string copy() {
        auto const k = key();
        if (shape_.key == KeyType::identity || shape_.key == KeyType::composite || shape_.key == KeyType::uuid)
            return insert(3);
        auto const text = shape_.key == KeyType::text ? fmt::format("key {}", k) : std::to_string(k);
        return fmt::format("COPY @.p (k, n, s) FROM PROGRAM 'printf \"{}\\t1\\tcopied\\n\"'", text);
    }
    std::string writable_cte() {
        if (shape_.key == KeyType::identity)
            return fmt::format("WITH d AS (DELETE FROM @.p WHERE k = {} RETURNING *) INSERT INTO @.p (u, n, s) SELECT u, n, 'cte' FROM d", key());
        auto const again = dice_.chance(50) ? shape_.key_columns() : shape_.key_value(key());
        return fmt::format("WITH d AS (DELETE FROM @.p WHERE {} RETURNING *) INSERT INTO @.p ({}, u, n, s) SELECT {}, u, n + 1, 'cte' FROM d",
                           shape_.is_key(key()), shape_.key_columns(), again);
    }
    std::string truncate() {
        if (shape_.partitions > 0 && !shape_.child && !shape_.self_reference && dice_.chance(60))
            return "TRUNCATE " + dice_.pick({"@.p_1", "@.p_2"});
        return shape_.child ? dice_.pick({"TRUNCATE @.p, @.c", "TRUNCATE @.p CASCADE", "TRUNCATE @.c, @.p", "TRUNCATE @.c"}) : "TRUNCATE @.p";
    }
    std::string point() {
        return fmt::format("UPDATE @.p SET self = (SELECT min(k) FROM @.p WHERE n % 4 = {}) WHERE k % 3 = {}", dice_.roll(0, 3), dice_.roll(0, 2));
    }
    std::string on_child() {
        auto const id = dice_.roll(1, 40);
        switch (dice_.roll(0, 4)) {
        case 0:
        case 1:
            return fmt::format("INSERT INTO @.c (id, {0}, note) SELECT {1}, {0}, 'c' FROM @.p ORDER BY {0} OFFSET {2} LIMIT 1 ON CONFLICT DO NOTHING",
                               shape_.key_columns(), id, dice_.roll(0, 5));
        case 2: return fmt::format("UPDATE @.c SET note = note || '!' WHERE id % 3 = {}", dice_.roll(0, 2));
        case 3: return fmt::format("UPDATE @.c SET id = id + 100 WHERE id = {}", id);
        default: return fmt::format("DELETE FROM @.c WHERE id = {}", id);
        }
    }

    Shape const& shape_;
    Dice& dice_;
};

} // namespace pgcarve::test
