-- Keys: changed, composite, of every kind of type; deletes; groups of several rows; undone savepoint.
CREATE DATABASE g; USE g; SET timestamp=1764000000;
CREATE TABLE a (id INT PRIMARY KEY, v VARCHAR(20), w INT);
INSERT INTO a VALUES (1,'one',1),(2,'two',2),(3,'three',NULL);
UPDATE a SET id=id+10 ORDER BY id DESC;
UPDATE a SET v='uno' WHERE id=11;
UPDATE a SET v=NULL, w=0 WHERE id=12;
UPDATE a SET w=5 WHERE id=13;
DELETE FROM a WHERE id>11;
CREATE TABLE b (v VARBINARY(10), `o"dd na\\me` INT, t VARCHAR(10) COLLATE utf8mb4_general_ci, n INT,
  PRIMARY KEY (t,`o"dd na\\me`,v));
INSERT INTO b VALUES (x'00ff',1,'a',0),('b',2,'ü',0);
UPDATE b SET t='A' WHERE t='a';
UPDATE b SET n=1;
BEGIN; INSERT INTO a VALUES (20,'x',1); INSERT INTO b VALUES ('z',3,'z',3); DELETE FROM a WHERE id=20; COMMIT;
CREATE TABLE k (a INT NOT NULL, b DECIMAL(5,2) NOT NULL, c TEXT, UNIQUE(a,b));
INSERT INTO k VALUES (1,2.50,'x'); UPDATE k SET b=3; DELETE FROM k;
CREATE TABLE nokey (a INT, b INT);
INSERT INTO nokey VALUES (1,2); UPDATE nokey SET a=2; DELETE FROM nokey;
CREATE TABLE p (t TEXT, n INT, PRIMARY KEY (t(3),n));
INSERT INTO p VALUES ('prefix',1);
TRUNCATE TABLE k;
DROP TABLE k, nokey;
