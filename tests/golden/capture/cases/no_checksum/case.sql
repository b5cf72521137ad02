-- binlog_checksum=NONE, and a non-transactional group, which ends with COMMIT.
-- server: --binlog-checksum=NONE
CREATE DATABASE g; USE g; SET timestamp=1764000000;
CREATE TABLE m (id INT PRIMARY KEY, v INT) ENGINE=MyISAM;
INSERT INTO m VALUES (1,1),(2,2);
UPDATE m SET v=3;
