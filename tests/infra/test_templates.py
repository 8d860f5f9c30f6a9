"""The templates hold what the code needs: settings, budgets, limits, permissions."""

from typing import Any

import pytest
import yaml

from processor.settings import Settings
from tests.infra.cloudformation import INFRA, TEMPLATES, load, of_type, parameter_defaults, resources
from tests.infra.policies import actions, policy

MAX_TEMPLATE_BYTES = 51_200  # "CloudFormation quotas": a template in a request body
FARGATE_MAX_STOP_SECONDS = 120  # "Task definition parameters for Fargate", stopTimeout
STORES = {
    *("AWS::DynamoDB::Table", "AWS::SQS::Queue", "AWS::SQS::QueuePolicy", "AWS::Kinesis::Stream"),
    "AWS::Logs::LogGroup",
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


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_can_be_deployed_without_a_bucket(name: str) -> None:
    assert (INFRA / name).stat().st_size < MAX_TEMPLATE_BYTES


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_uses_no_alias_which_cloudformation_refuses(name: str) -> None:
    with (INFRA / name).open() as template:
        assert not [event for event in yaml.parse(template) if isinstance(event, yaml.AliasEvent)]


# Keys, TTL, stream, backups, and the queues' limits: the tests of `export-status check` deploy data.yaml.
@pytest.mark.parametrize("name", ["StatusTable", "LeasesTable"])
def test_data_outlives_mistakes(name: str) -> None:
    table = of_type("data.yaml", "AWS::DynamoDB::Table")[name]
    assert table["DeletionProtectionEnabled"] is True
    assert table["PointInTimeRecoverySpecification"]["RecoveryPeriodInDays"] == 7
    assert table["SSESpecification"]["SSEEnabled"] is True


def test_deleting_a_stack_deletes_no_data_and_a_failed_first_deployment_leaves_nothing_in_the_way() -> None:
    stores = [
        (name, resource)
        for template in TEMPLATES
        for name, resource in resources(template).items()
        if resource["Type"] in STORES
    ]
    assert len(stores) == 8
    for name, resource in stores:
        # Deletion protection keeps a table whatever its policy is.
        is_table = resource["Type"] == "AWS::DynamoDB::Table"
        assert resource["DeletionPolicy"] == ("Retain" if is_table else "RetainExceptOnCreate"), name
        assert resource["UpdateReplacePolicy"] == "Retain", name


def test_only_named_producers_may_send() -> None:
    policies = of_type("data.yaml", "AWS::SQS::QueuePolicy")
    denied, sources, principals = policies["EventsQueuePolicy"]["PolicyDocument"]["Statement"]
    assert denied["Sid"] == "DenyInsecureTransport"
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
        by_parameter = {name: value.strip("<>") for name, value in environment().items()}
        assert len(by_parameter.keys() & {"EXPORT_RECEIVERS", "EXPORT_WRITE_MODE", "LOG_LEVEL"}) == 3
        for info in Settings.model_fields.values():
            parameter = by_parameter.get(str(info.validation_alias))
            if parameter in defaults and info.default is not None:
                assert defaults[parameter] == str(info.default), parameter

    def test_the_container_cannot_do_what_it_need_not(self) -> None:
        only = container()
        assert only["ReadonlyRootFilesystem"] is True
        assert only["User"] == "10001:10001"
        assert only["LinuxParameters"] == {"InitProcessEnabled": True, "Capabilities": {"Drop": ["ALL"]}}
        assert only["MountPoints"] == [{"SourceVolume": "tmp", "ContainerPath": "/tmp", "ReadOnly": False}]
        assert Settings.model_fields["health_file"].default.parent.as_posix() == "/tmp"

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

    def test_starting_the_task_and_running_it_are_apart(self) -> None:
        definition = of_type("service.yaml", "AWS::ECS::TaskDefinition")["TaskDefinition"]
        assert definition["TaskRoleArn"] == "<TaskRole.Arn>"
        assert definition["ExecutionRoleArn"] == "<ExecutionRole.Arn>"
        (inline,) = self.role("ExecutionRole")["Policies"]
        repository = "arn:<Partition>:ecr:<Region>:<AccountId>:repository/<RepositoryName>"
        pull = ("BatchCheckLayerAvailability", "BatchGetImage", "GetDownloadUrlForLayer")
        assert {each["Resource"]: each["Action"] for each in inline["PolicyDocument"]["Statement"]} == {
            "*": "ecr:GetAuthorizationToken",
            repository: [f"ecr:{name}" for name in pull],
            "<LogGroup.Arn>": ["logs:CreateLogStream", "logs:PutLogEvents"],
        }
