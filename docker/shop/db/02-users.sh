# The services' users, with the passwords of the environment. Read by the image's
# entry point when the volume is new.

for name in MYSQL_ROOT_PASSWORD MYSQL_DATABASE API_DB_PASSWORD ADMIN_API_DB_PASSWORD; do
  if [ -z "${!name:-}" ]; then
    echo "$name is not set" >&2
    exit 2
  fi
done

# A string literal of SQL.
quote() { local s=${1//\\/\\\\}; printf "'%s'" "${s//\'/\\\'}"; }

MYSQL_PWD="$MYSQL_ROOT_PASSWORD" mysql --default-character-set=utf8mb4 -uroot <<SQL
CREATE USER 'api'@'%' IDENTIFIED BY $(quote "$API_DB_PASSWORD");
GRANT SELECT ON \`$MYSQL_DATABASE\`.items TO 'api'@'%';
CREATE USER 'admin_api'@'%' IDENTIFIED BY $(quote "$ADMIN_API_DB_PASSWORD");
GRANT SELECT, INSERT, UPDATE ON \`$MYSQL_DATABASE\`.items TO 'admin_api'@'%';
SQL
