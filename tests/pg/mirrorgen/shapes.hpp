// Random table shapes and random traffic over them, as SQL text in which @ stands for the schema.
#pragma once

#include <random>
#include <string>
#include <vector>

#include <fmt/format.h>

namespace pgcarve::test {

class Dice {
public:
    explicit Dice(unsigned seed) : engine_{seed} {}
    int roll(int low, int high) { return std::uniform_int_distribution<int>{low, high}(engine_); }
    bool chance(int percent) { return roll(1, 100) <= percent; }
    std::string pick(std::vector<std::string> const& of) { return of[static_cast<std::size_t>(roll(0, static_cast<int>(of.size()) - 1))]; }

private:
    std::mt19937 engine_;
};

enum class KeyType { integer, composite, uuid, text, numeric, identity };

struct Shape {
    KeyType key = KeyType::integer;
    bool deferrable_key = false;
    int unique = 0;     // 0 none, 1 immediate, 2 deferrable
    int partitions = 0; // levels
    bool self_reference = false;
    bool child = false;
    bool row_security = false;
    bool nesting = false;       // application triggers that write the same table again
    bool takes_over = false;    // … that give a deleted row's unique value to a new row
    std::string on_delete = "CASCADE";
    std::string on_update = "CASCADE";
    bool merge = false; // the server has it

    [[nodiscard]] std::vector<std::string> tables() const {
        return child ? std::vector<std::string>{"p", "c"} : std::vector<std::string>{"p"};
    }
    [[nodiscard]] std::string columns(std::string const& table) const {
        if (table == "c")
            return "id, " + key_columns() + ", note";
        return key_columns() + ", u, n, s, num, self, twice";
    }
    [[nodiscard]] std::string key_columns() const { return key == KeyType::composite ? "k1, k2" : "k"; }
    [[nodiscard]] std::string key_value(int i) const {
        switch (key) {
        case KeyType::composite: return fmt::format("{}, 'x{}'", i / 5, i % 5);
        case KeyType::uuid: return fmt::format("'00000000-0000-0000-0000-{:012}'::uuid", i);
        case KeyType::text: return fmt::format("'key {}'", i);
        case KeyType::numeric: return fmt::format("{}{}", i, i % 3 == 0 ? ".0" : "");
        case KeyType::integer:
        case KeyType::identity: break;
        }
        return std::to_string(i);
    }
    [[nodiscard]] std::string is_key(int i) const {
        return key == KeyType::composite ? fmt::format("(k1, k2) = ({})", key_value(i)) : "k = " + key_value(i);
    }
    [[nodiscard]] std::string set_key(int i) const {
        return key == KeyType::composite ? fmt::format("(k1, k2) = ({})", key_value(i)) : "k = " + key_value(i);
    }
    [[nodiscard]] bool deferrable() const { return deferrable_key || unique == 2; } // then ON CONFLICT needs to name its index
    [[nodiscard]] bool number_key() const { return key == KeyType::integer || key == KeyType::numeric; }
};

inline Shape random_shape(Dice& dice, bool merge) {
    Shape shape;
    shape.merge = merge;
    shape.key = static_cast<KeyType>(dice.roll(0, 5));
    shape.unique = dice.roll(0, 2);
    shape.row_security = dice.chance(15);
    shape.nesting = dice.chance(50);
    if (shape.number_key() && dice.chance(40)) {
        shape.partitions = dice.roll(1, 2);
        shape.unique = 0;
    }
    shape.deferrable_key = shape.key != KeyType::identity && dice.chance(20);
    if (!shape.deferrable_key) {
        shape.child = dice.chance(50);
        shape.self_reference = dice.chance(40) && (shape.key == KeyType::integer || shape.key == KeyType::identity);
    }
    shape.takes_over = shape.unique == 1 && !shape.deferrable_key && !shape.child && !shape.self_reference && dice.chance(40);
    shape.on_delete = dice.pick({"CASCADE", "SET NULL", "NO ACTION"});
    shape.on_update = dice.pick({"CASCADE", "NO ACTION"});
    return shape;
}

// The tables, without foreign keys and triggers. `prefix` tells the constraints of the schemas apart in messages.
inline std::string tables_sql(Shape const& shape, std::string const& prefix) {
    std::string const types[] = {"k integer", "k1 integer, k2 text", "k uuid", "k text", "k numeric",
                                 "k integer GENERATED ALWAYS AS IDENTITY"};
    auto const key_type = types[static_cast<int>(shape.key)];
    auto const plain_type = shape.key == KeyType::identity ? std::string{"k integer"} : key_type;
    auto sql = fmt::format("CREATE TABLE @.p (gone integer, {}, u integer, n integer NOT NULL DEFAULT 0, s text, gone2 text, num numeric, "
                           "self integer, twice integer GENERATED ALWAYS AS (n * 2) STORED, CONSTRAINT {}p_key PRIMARY KEY ({}){}){};\n",
                           key_type, prefix, shape.key_columns(), shape.deferrable_key ? " DEFERRABLE" : "",
                           shape.partitions > 0 ? " PARTITION BY RANGE (k)" : "");
    sql += "ALTER TABLE @.p DROP COLUMN gone; ALTER TABLE @.p DROP COLUMN gone2;\n";
    if (shape.unique > 0)
        sql += fmt::format("ALTER TABLE @.p ADD CONSTRAINT {}p_u UNIQUE (u){};\n", prefix, shape.unique == 2 ? " DEFERRABLE" : "");
    if (shape.partitions > 0) {
        sql += "CREATE TABLE @.p_1 PARTITION OF @.p FOR VALUES FROM (MINVALUE) TO (10);\n"
               "CREATE TABLE @.p_2 PARTITION OF @.p FOR VALUES FROM (10) TO (20)";
        if (shape.partitions == 2)
            sql += " PARTITION BY HASH (k);\nCREATE TABLE @.p_2a PARTITION OF @.p_2 FOR VALUES WITH (MODULUS 2, REMAINDER 0);\n"
                   "CREATE TABLE @.p_2b PARTITION OF @.p_2 FOR VALUES WITH (MODULUS 2, REMAINDER 1)";
        sql += ";\n";
    }
    if (shape.child)
        sql += fmt::format("CREATE TABLE @.c (id integer CONSTRAINT {}c_key PRIMARY KEY, {}, note text);\n", prefix, plain_type);
    if (shape.row_security)
        sql += "ALTER TABLE @.p ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;\n";
    return sql;
}

inline std::string foreign_keys_sql(Shape const& shape) {
    std::string sql;
    auto const actions = fmt::format(" ON DELETE {} ON UPDATE {}", shape.on_delete, shape.on_update);
    if (shape.child)
        sql += fmt::format("ALTER TABLE @.c ADD CONSTRAINT c_p FOREIGN KEY ({0}) REFERENCES @.p{1} DEFERRABLE;\n", shape.key_columns(), actions);
    if (shape.self_reference)
        sql += fmt::format("ALTER TABLE @.p ADD CONSTRAINT p_self FOREIGN KEY (self) REFERENCES @.p{} DEFERRABLE;\n", actions);
    return sql;
}

inline std::string drop_foreign_keys_sql(Shape const& shape) {
    std::string sql;
    if (shape.child)
        sql += "ALTER TABLE @.c DROP CONSTRAINT c_p;\n";
    if (shape.self_reference)
        sql += "ALTER TABLE @.p DROP CONSTRAINT p_self;\n";
    return sql;
}

// The application's own triggers; some fire before the mirror's (by name), some after.
inline std::string triggers_sql(Shape const& shape) {
    std::string sql = "CREATE FUNCTION @.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.s := NEW.s || '+'; RETURN NEW; END $$;\n"
                      "CREATE TRIGGER a_touch BEFORE UPDATE ON @.p FOR EACH ROW EXECUTE FUNCTION @.touch();\n";
    if (shape.nesting) {
        auto const same = shape.key == KeyType::composite ? "k1 = NEW.k1 AND k2 = NEW.k2" : "k = NEW.k";
        sql += fmt::format("CREATE FUNCTION @.again() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN\n"
                           "IF pg_trigger_depth() < 3 AND NEW.n % 3 = 1 THEN UPDATE @.p SET n = n + 1 WHERE {}; END IF; RETURN NULL; END $$;\n",
                           same);
        sql += "CREATE TRIGGER a_again AFTER UPDATE ON @.p FOR EACH ROW EXECUTE FUNCTION @.again();\n"
               "CREATE TRIGGER z_again AFTER INSERT ON @.p FOR EACH ROW EXECUTE FUNCTION @.again();\n"
               "CREATE FUNCTION @.sweep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN\n"
               "IF pg_trigger_depth() < 2 THEN DELETE FROM @.p WHERE n > 40; END IF; RETURN NULL; END $$;\n"
               "CREATE TRIGGER a_sweep AFTER UPDATE ON @.p FOR EACH STATEMENT EXECUTE FUNCTION @.sweep();\n";
    }
    if (shape.takes_over) {
        auto const next = shape.key == KeyType::composite ? "OLD.k1 + 100, OLD.k2"
                          : shape.key == KeyType::uuid    ? "gen_random_uuid()"
                          : shape.key == KeyType::text    ? "OLD.k || '!'"
                                                          : "OLD.k + 100";
        sql += fmt::format("CREATE FUNCTION @.heir() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN\n"
                           "IF pg_trigger_depth() < 2 AND OLD.u % 2 = 0 THEN INSERT INTO @.p ({}, u, s) {} VALUES ({}, OLD.u, 'heir')"
                           " ON CONFLICT DO NOTHING; END IF; RETURN NULL; END $$;\n",
                           shape.key_columns(), shape.key == KeyType::identity ? "OVERRIDING SYSTEM VALUE" : "",
                           shape.key == KeyType::uuid ? "md5(OLD.k::text)::uuid" : next);
        sql += "CREATE TRIGGER a_heir AFTER DELETE ON @.p FOR EACH ROW EXECUTE FUNCTION @.heir();\n";
    }
    return sql;
}

inline std::string in_schema(std::string sql, std::string const& schema) {
    for (std::size_t at = sql.find('@'); at != std::string::npos; at = sql.find('@', at))
        sql.replace(at, 1, schema);
    return sql;
}

} // namespace pgcarve::test
