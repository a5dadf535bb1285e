import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations

# A partitioned table cannot be made from a plain one in place: the empty table is swapped.
# Partitions are ranges of event_id, whose first 48 bits are the time; the default partition
# takes what no day's partition covers.
SWAP = """
ALTER TABLE monitoring_monitoringevent RENAME TO monitoring_event_draft;
CREATE TABLE monitoring_monitoringevent
    (LIKE monitoring_event_draft INCLUDING DEFAULTS INCLUDING CONSTRAINTS)
    PARTITION BY RANGE (event_id);
DROP TABLE monitoring_event_draft;
ALTER TABLE monitoring_monitoringevent ADD PRIMARY KEY (event_id);
CREATE INDEX event_type_recent ON monitoring_monitoringevent (type, event_id DESC);
CREATE INDEX event_account_recent ON monitoring_monitoringevent (account_id, event_id DESC);
CREATE INDEX event_severity_recent ON monitoring_monitoringevent (severity, event_id DESC);
CREATE TABLE monitoring_monitoringevent_rest PARTITION OF monitoring_monitoringevent DEFAULT;
"""


class Migration(migrations.Migration):
    dependencies = [("monitoring", "0001_initial")]

    operations = [
        migrations.RunSQL(SWAP, reverse_sql=migrations.RunSQL.noop),
        pgtrigger.migrations.AddTrigger(
            model_name="monitoringevent",
            trigger=pgtrigger.compiler.Trigger(
                name="event_append_only",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;",
                    hash="136fd3df6d2b8b6724c3ec539de9b2f0c71b7a91",
                    operation="UPDATE OR DELETE",
                    pgid="pgtrigger_event_append_only_c975a",
                    table="monitoring_monitoringevent",
                    when="BEFORE",
                ),
            ),
        ),
    ]
