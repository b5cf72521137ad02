-- log_bin_compress: rows and queries, with versions as if uncompressed.
-- server: --log-bin-compress=1
-- server: --log-bin-compress-min-len=10
CREATE DATABASE g; USE g; SET timestamp=1764000000;
CREATE TABLE c (id INT PRIMARY KEY, t TEXT /* a comment that is long enough to be compressed ...................... */);
INSERT INTO c VALUES (1,REPEAT('a',1000)),(2,REPEAT('b',500)),(3,'c');
UPDATE c SET t=REPEAT('d',2000);
DELETE FROM c WHERE id=2;
BEGIN; INSERT INTO c VALUES (4,'x'); INSERT INTO c VALUES (5,REPEAT('y',100)); COMMIT;
TRUNCATE TABLE c /* and this one is long enough too, so that the query event is compressed ....... */;
