-- binlog_row_metadata=MINIMAL: signs and character sets, no names.
-- server: --binlog-row-metadata=MINIMAL
CREATE DATABASE g; USE g; SET timestamp=1764000000;
CREATE TABLE n (id INT UNSIGNED PRIMARY KEY, v VARCHAR(20), b VARBINARY(20), e ENUM('a','b'));
INSERT INTO n VALUES (4294967295,'x','x','b');
