"""The templates hold what the code needs: attribute names, budgets, limits, permissions."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from handlers.export import DEFAULT_TTL_SECONDS, Export, Status, stored_ttl, ttl_of
from processor.settings import MAX_POLL_SECONDS, Settings
from processor.startup_checks import MIN_VISIBILITY_SECONDS
from processor.transitions.queue_monitor import receives_needed
from tests.infra.cloudformation import INFRA, TEMPLATES, load, of_type, parameter_defaults, resources
from tests.infra.policies import actions, policy

EVENTS_ARN = "arn:<Partition>:sqs:<Region>:<AccountId>:<EventsQueueName>"
MAX_TEMPLATE_BYTES = 51_200  # "CloudFormation quotas": a template in a request body
FARGATE_MAX_STOP_SECONDS = 120  # "Task definition parameters for Fargate", stopTimeout
STORES = ("AWS::DynamoDB::Table", "AWS::SQS::Queue", "AWS::Kinesis::Stream", "AWS::Logs::LogGroup")
SETTINGS_BY_PARAMETER = {
    "EXPORT_STATUS_TTL_SECONDS",
    "EXPORT_RECEIVERS",
    "EXPORT_WRITE_MODE",
    "EXPORT_AUDIT_BUCKETS",
    "EXPORT_LEASE_FAILOVER_SECONDS",
    "LOG_LEVEL",
}
SETTINGS_LEFT_TO_THEIR_DEFAULTS = {
    "EXPORT_AUDIT_READERS",
    "EXPORT_FAST_CALLS",
    "EXPORT_HEALTH_FILE",
    "EXPORT_LINGER_SECONDS",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_SQS",
    "AWS_ENDPOINT_URL_DYNAMODB",
    "AWS_ENDPOINT_URL_KINESIS",
}


def container(of: str = "TaskDefinition") -> dict[str, Any]:
    """The one container of a task definition."""
    (only,) = of_type("service.yaml", "AWS::ECS::TaskDefinition")[of]["ContainerDefinitions"]
    found: dict[str, Any] = only
    return found


def environment() -> dict[str, str]:
    """The container's settings; the optional one too."""
    entries = [entry["then"] if "if" in entry else entry for entry in container()["Environment"]]
    return {entry["Name"]: entry["Value"] for entry in entries}


def queue(name: str) -> dict[str, Any]:
    return of_type("data.yaml", "AWS::SQS::Queue")[name]


def table(name: str) -> dict[str, Any]:
    return of_type("data.yaml", "AWS::DynamoDB::Table")[name]


def test_cfn_lint_finds_nothing() -> None:
    templates = [str(INFRA / name) for name in TEMPLATES]
    done = subprocess.run(
        [Path(sys.executable).with_name("cfn-lint"), "-c", "I", "--", *templates],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_can_be_deployed_without_a_bucket(name: str) -> None:
    assert (INFRA / name).stat().st_size < MAX_TEMPLATE_BYTES


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_uses_no_alias_which_cloudformation_refuses(name: str) -> None:
    with (INFRA / name).open() as template:
        assert not [event for event in yaml.parse(template) if isinstance(event, yaml.AliasEvent)]


class TestTables:
    def test_the_key_and_the_ttl_attribute_are_the_code_s(self) -> None:
        now = datetime(2026, 11, 22, tzinfo=UTC)
        item = Export("r", Status.PENDING, now, now, ttl_of(now, DEFAULT_TTL_SECONDS)).to_item()
        key = table("StatusTable")["KeySchema"]
        attribute = table("StatusTable")["TimeToLiveSpecification"]["AttributeName"]
        assert key == [{"AttributeName": "requestId", "KeyType": "HASH"}]
        assert item["requestId"] == {"S": "r"}
        assert table("StatusTable")["TimeToLiveSpecification"]["Enabled"] is True
        assert stored_ttl({attribute: item[attribute]}) == ttl_of(now, DEFAULT_TTL_SECONDS)

    def test_the_stream_carries_the_old_image_that_an_audit_entry_is_made_of(self) -> None:
        assert table("StatusTable")["StreamSpecification"] == {"StreamViewType": "NEW_AND_OLD_IMAGES"}

    def test_the_leases_table_has_the_key_of_the_kinesis_client_library(self) -> None:
        assert table("LeasesTable")["KeySchema"] == [{"AttributeName": "leaseKey", "KeyType": "HASH"}]

    @pytest.mark.parametrize("name", ["StatusTable", "LeasesTable"])
    def test_data_outlives_mistakes(self, name: str) -> None:
        assert table(name)["DeletionProtectionEnabled"] is True
        assert table(name)["PointInTimeRecoverySpecification"] == {
            "PointInTimeRecoveryEnabled": True,
            "RecoveryPeriodInDays": 7,
        }
        assert table(name)["SSESpecification"]["SSEEnabled"] is True
        assert table(name)["BillingMode"] == "PAY_PER_REQUEST"

    def test_deleting_the_stack_deletes_no_data_and_a_failed_first_deployment_leaves_nothing_in_the_way(
        self,
    ) -> None:
        found = {
            name: (resource["Type"], resource["DeletionPolicy"], resource["UpdateReplacePolicy"])
            for template in TEMPLATES
            for name, resource in resources(template).items()
            if resource["Type"] in STORES
        }
        # Deletion protection keeps a table whatever its policy is.
        assert found == {
            "StatusTable": ("AWS::DynamoDB::Table", "Retain", "Retain"),
            "LeasesTable": ("AWS::DynamoDB::Table", "Retain", "Retain"),
            "EventsQueue": ("AWS::SQS::Queue", "RetainExceptOnCreate", "Retain"),
            "DeadLetterQueue": ("AWS::SQS::Queue", "RetainExceptOnCreate", "Retain"),
            "AuditStream": ("AWS::Kinesis::Stream", "RetainExceptOnCreate", "Retain"),
            "LogGroup": ("AWS::Logs::LogGroup", "RetainExceptOnCreate", "Retain"),
        }


class TestQueues:
    def test_dead_letters_are_kept_longer_than_events_whose_first_time_stamp_they_keep(
        self,
    ) -> None:
        kept = [queue(name)["MessageRetentionPeriod"] for name in ("DeadLetterQueue", "EventsQueue")]
        assert kept[0] > kept[1]

    def test_the_dead_letter_queue_takes_any_event_with_the_attributes_of_its_rejection(self) -> None:
        room = queue("DeadLetterQueue")["MaximumMessageSize"] - queue("EventsQueue")["MaximumMessageSize"]
        assert room >= 10 * 1024  # five attributes: names, types, and values of at most 256 characters

    def test_a_batch_is_finished_long_before_its_messages_come_back(self) -> None:
        assert queue("EventsQueue")["VisibilityTimeout"] >= 2 * MIN_VISIBILITY_SECONDS

    def test_an_event_that_came_too_early_can_wait_out_its_export_s_life_and_clocks_that_differ(self) -> None:
        receives = queue("EventsQueue")["RedrivePolicy"]["maxReceiveCount"]
        assert receives >= receives_needed(DEFAULT_TTL_SECONDS)

    def test_a_receive_waits_as_long_as_sqs_allows(self) -> None:
        assert queue("EventsQueue")["ReceiveMessageWaitTimeSeconds"] == MAX_POLL_SECONDS

    def test_only_the_event_queue_may_redrive_into_the_dead_letter_queue(self) -> None:
        assert queue("EventsQueue")["RedrivePolicy"]["deadLetterTargetArn"] == "<DeadLetterQueue.Arn>"
        assert queue("DeadLetterQueue")["RedriveAllowPolicy"] == {
            "redrivePermission": "byQueue",
            "sourceQueueArns": [
                {"if": "IsFifo", "then": f"{EVENTS_ARN}.fifo", "else": EVENTS_ARN},
            ],
        }

    def test_both_queues_refuse_plain_http(self) -> None:
        policies = of_type("data.yaml", "AWS::SQS::QueuePolicy").values()
        assert sorted(each["Queues"][0] for each in policies) == ["<DeadLetterQueue>", "<EventsQueue>"]
        for each in policies:
            statement = each["PolicyDocument"]["Statement"][0]
            assert f"<{statement['Resource'].strip('<>').removesuffix('.Arn')}>" == each["Queues"][0]
            assert (statement["Effect"], statement["Principal"], statement["Action"]) == (
                "Deny",
                "*",
                "sqs:*",
            )
            assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}

    def test_only_named_producers_may_send(self) -> None:
        _, sources, principals = of_type("data.yaml", "AWS::SQS::QueuePolicy")["EventsQueuePolicy"][
            "PolicyDocument"
        ]["Statement"]
        common = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "<EventsQueue.Arn>"}
        assert (sources["if"], sources["else"]) == ("HasProducerSources", "<NoValue>")
        assert sources["then"] == common | {
            "Sid": "SendFromServices",
            "Principal": {"Service": ["events.amazonaws.com", "sns.amazonaws.com"]},
            "Condition": {"ArnEquals": {"aws:SourceArn": "<ProducerSourceArns>"}},
        }
        assert (principals["if"], principals["else"]) == ("HasProducerPrincipals", "<NoValue>")
        assert principals["then"] == common | {
            "Sid": "SendFromPrincipals",
            "Principal": {"AWS": "<ProducerPrincipalArns>"},
        }

    def test_a_queue_that_outlives_the_stack_keeps_its_policy(self) -> None:
        for name in ("EventsQueuePolicy", "DeadLetterQueuePolicy"):
            policy_of_queue = resources("data.yaml")[name]
            assert policy_of_queue["DeletionPolicy"] == "RetainExceptOnCreate"
            assert policy_of_queue["UpdateReplacePolicy"] == "Retain"


class TestService:
    def test_the_task_outlives_the_drain_and_fargate_allows_it(self) -> None:
        drain = int(environment()["EXPORT_DRAIN_SECONDS"])
        assert drain < container()["StopTimeout"] <= FARGATE_MAX_STOP_SECONDS

    def test_the_log_never_blocks_the_service_and_an_audit_entry_never_depends_on_it_alone(self) -> None:
        assert container()["LogConfiguration"]["Options"]["mode"] == "non-blocking"
        assert environment()["EXPORT_AUDIT_SINKS"] == "kinesis,log"

    def test_the_probe_runs_the_same_image_as_strictly_and_as_the_same_deployment(self) -> None:
        probe, service = container("ProbeTaskDefinition"), container()
        same = ("Image", "User", "ReadonlyRootFilesystem", "MountPoints", "LinuxParameters")
        assert {name: probe[name] for name in same} == {name: service[name] for name in same}
        assert probe["Command"] == ["probe", "--json"]
        assert {each["Name"]: each["Value"] for each in probe["Environment"]}.items() <= environment().items()
        rule = of_type("service.yaml", "AWS::Events::Rule")["ProbeRule"]
        assert rule["ScheduleExpression"] == "rate(5 minutes)"
        (target,) = rule["Targets"]
        assert target["EcsParameters"]["TaskDefinitionArn"] == "<ProbeTaskDefinition>"
        assert resources("service.yaml")["ProbeRule"]["DependsOn"] == "Service"

    def test_the_environment_is_made_of_settings_that_the_code_reads(self) -> None:
        known = {str(info.validation_alias) for info in Settings.model_fields.values()}
        assert environment().keys() <= known
        assert known - environment().keys() == SETTINGS_LEFT_TO_THEIR_DEFAULTS

    def test_the_settings_are_accepted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in environment().items():
            filled = value.replace("<Region>", "us-east-1")
            for parameter, default in parameter_defaults("service.yaml").items():
                filled = filled.replace(f"<{parameter}>", default)
            monkeypatch.setenv(name, filled.replace("<", "").replace(">", ""))
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", "https://vpce-1.streams.dynamodb.example")
        settings = Settings()
        assert settings.audit_sinks == ("kinesis", "log")
        assert settings.endpoint_url_dynamodb_streams == "https://vpce-1.streams.dynamodb.example"

    def test_the_defaults_of_the_parameters_are_those_of_the_settings(self) -> None:
        defaults = parameter_defaults("service.yaml")
        of_settings = {str(info.validation_alias): info.default for info in Settings.model_fields.values()}
        for name in SETTINGS_BY_PARAMETER:
            assert defaults[environment()[name].strip("<>")] == str(of_settings[name])

    def test_no_credentials_are_in_the_task_for_they_would_win_over_its_role(self) -> None:
        assert not [name for name in environment() if "KEY" in name or "TOKEN" in name or "PROFILE" in name]

    def test_the_container_cannot_do_what_it_need_not(self) -> None:
        only = container()
        assert only["ReadonlyRootFilesystem"] is True
        assert only["User"] == "10001:10001"
        assert only["LinuxParameters"] == {"InitProcessEnabled": True, "Capabilities": {"Drop": ["ALL"]}}
        assert only["MountPoints"] == [{"SourceVolume": "tmp", "ContainerPath": "/tmp", "ReadOnly": False}]
        assert Settings.model_fields["health_file"].default.parent.as_posix() == "/tmp"

    def test_the_health_check_runs_the_command_for_it(self) -> None:
        assert container()["HealthCheck"]["Command"] == ["CMD", "export-status", "healthcheck"]

    def test_a_failed_deployment_rolls_back_and_scaling_owns_the_count(self) -> None:
        (service,) = of_type("service.yaml", "AWS::ECS::Service").values()
        deployment = service["DeploymentConfiguration"]
        assert deployment["DeploymentCircuitBreaker"] == {"Enable": True, "Rollback": True}
        assert (deployment["Alarms"]["Enable"], deployment["Alarms"]["Rollback"]) == (True, True)
        watched = {f"<{name}>" for name in of_type("service.yaml", "AWS::CloudWatch::Alarm")}
        assert {*deployment["Alarms"]["AlarmNames"]} == watched - {"<LagScalingAlarm>"}
        assert "DesiredCount" not in service
        assert load("service.yaml")["Parameters"]["MinTasks"]["Default"] >= 1

    def test_an_alarm_that_a_deployment_watches_is_made_before_it_and_quiet_without_figures(self) -> None:
        (service,) = of_type("service.yaml", "AWS::ECS::Service").values()
        for name in service["DeploymentConfiguration"]["Alarms"]["AlarmNames"]:
            alarm = resources("service.yaml")[name.strip("<>")]
            assert "DependsOn" not in alarm
            assert alarm["Properties"]["TreatMissingData"] == "notBreaching"
            assert alarm["Properties"].get("MetricName") != "ApproximateNumberOfMessagesVisible"

    def test_tasks_reach_out_on_443_only_and_nothing_reaches_in(self) -> None:
        tasks = of_type("service.yaml", "AWS::EC2::SecurityGroup")["TaskSecurityGroup"]
        (rule,) = tasks["SecurityGroupEgress"]
        assert (rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) == ("tcp", 443, 443)
        assert "SecurityGroupIngress" not in tasks
        assert load("service.yaml")["Parameters"]["AssignPublicIp"]["Default"] == "DISABLED"

    def test_scaling_divides_the_backlog_of_the_event_queue_by_the_running_tasks(self) -> None:
        scaling = of_type("service.yaml", "AWS::ApplicationAutoScaling::ScalingPolicy")["BacklogScaling"]
        tracking = scaling["TargetTrackingScalingPolicyConfiguration"]
        *_, backlog = tracking["CustomizedMetricSpecification"]["Metrics"]
        assert backlog["Expression"] == "IF(FILL(tasks, 1) > 0, visible / FILL(tasks, 1), visible)"
        (cluster,) = of_type("service.yaml", "AWS::ECS::Cluster").values()
        assert cluster["ClusterSettings"] == [{"Name": "containerInsights", "Value": "enabled"}]


def granted(document: dict[str, Any]) -> dict[str, set[str]]:
    """The actions that a policy allows on each resource; one that does anything else is refused."""
    found: dict[str, set[str]] = {}
    for statement in document["Statement"]:
        assert statement.keys() == {"Sid", "Effect", "Action", "Resource"}
        assert statement["Effect"] == "Allow"
        named = statement["Action"]
        found.setdefault(statement["Resource"], set()).update([named] if isinstance(named, str) else named)
    return found


class TestRoles:
    def role(self, name: str) -> dict[str, Any]:
        return of_type("service.yaml", "AWS::IAM::Role")[name]

    def test_the_policies_are_those_of_infra_iam(self) -> None:
        for role, name in (("TaskRole", "task"), ("ProbeRole", "probe")):
            (inline,) = self.role(role)["Policies"]
            assert inline["PolicyDocument"] == policy(name)
        of_operators = of_type("watch.yaml", "AWS::IAM::ManagedPolicy")
        assert {name: each["PolicyDocument"] for name, each in of_operators.items()} == {
            f"Operator{name.capitalize()}Policy": policy(name) for name in ("look", "redrive", "replay")
        }

    @pytest.mark.parametrize("name", ["task", "probe", "look", "redrive", "replay"])
    def test_a_policy_has_one_statement_a_resource_and_names_it(self, name: str) -> None:
        statements = policy(name)["Statement"]
        assert len(actions(policy(name))) == len(statements)
        anywhere = {"dynamodb:ListStreams", "cloudwatch:GetMetricData", "ecs:ListTasks"}
        assert actions(policy(name)).get("*", set()) <= anywhere
        assert not [action for each in statements for action in each["Action"] if "*" in action]

    @pytest.mark.parametrize("name", ["TaskRole", "ExecutionRole", "ProbeRole"])
    def test_only_tasks_of_this_account_may_take_a_role(self, name: str) -> None:
        (statement,) = self.role(name)["AssumeRolePolicyDocument"]["Statement"]
        assert statement["Principal"] == {"Service": "ecs-tasks.amazonaws.com"}
        assert statement["Condition"] == {
            "StringEquals": {"aws:SourceAccount": "<AccountId>"},
            "ArnLike": {"aws:SourceArn": "arn:<Partition>:ecs:<Region>:<AccountId>:*"},
        }

    def test_ecs_may_pull_one_repository_and_write_one_log_group_and_nothing_else(self) -> None:
        (inline,) = self.role("ExecutionRole")["Policies"]
        allowed = granted(inline["PolicyDocument"])
        assert allowed == {
            "*": {"ecr:GetAuthorizationToken"},
            "arn:<Partition>:ecr:<Region>:<AccountId>:repository/<RepositoryName>": {
                "ecr:BatchCheckLayerAvailability",
                "ecr:BatchGetImage",
                "ecr:GetDownloadUrlForLayer",
            },
            "<LogGroup.Arn>": {"logs:CreateLogStream", "logs:PutLogEvents"},
        }

    def test_starting_the_task_and_running_it_are_apart(self) -> None:
        definition = of_type("service.yaml", "AWS::ECS::TaskDefinition")["TaskDefinition"]
        assert definition["TaskRoleArn"] == "<TaskRole.Arn>"
        assert definition["ExecutionRoleArn"] == "<ExecutionRole.Arn>"
