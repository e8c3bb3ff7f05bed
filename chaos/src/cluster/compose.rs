//! A node that is a container of the compose file. The runner asks docker for everything; the cluster must be up.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use serde_json::Value;
use tokio::process::Command;

/// Names of the services; as many as there are nodes.
const SERVICES: [&str; 3] = ["node1", "node2", "node3"];

/// The container of a node.
#[derive(Clone, Debug)]
pub struct Container {
    id: String,
    /// How often the engine had started it again before the run.
    restarts: i64,
}

/// What was found out about a node's container.
pub struct Found {
    pub container: Container,
    pub resp: SocketAddr,
    pub http: SocketAddr,
    /// The id of its image.
    pub image: String,
}

/// The containers of the project in this directory.
pub async fn find() -> Result<Vec<Found>, String> {
    let mut found = Vec::new();
    for service in SERVICES {
        let id = docker_compose(&["ps", "-q", service]).await?;
        let id = id.trim().to_owned();
        if id.is_empty() {
            return Err(format!("{service} is not up: docker-compose up -d"));
        }
        let mut container = Container { id, restarts: 0 };
        let about = container.inspect().await?;
        container.restarts = about["RestartCount"].as_i64().unwrap_or(0);
        let published = |port: &str| -> Result<SocketAddr, String> {
            let binding = &about["NetworkSettings"]["Ports"][port][0];
            let number: Option<u16> = binding["HostPort"].as_str().and_then(|port| port.parse().ok());
            let number = number.ok_or_else(|| format!("{service} does not publish {port}"))?;
            Ok(SocketAddr::from(([127, 0, 0, 1], number)))
        };
        let image = about["Image"].as_str().unwrap_or_default().to_owned();
        found.push(Found { resp: published("6379/tcp")?, http: published("8080/tcp")?, container, image });
    }
    Ok(found)
}

impl Container {
    async fn inspect(&self) -> Result<Value, String> {
        let text = docker(&["inspect", &self.id]).await?;
        let list: Value = serde_json::from_str(&text).map_err(|why| format!("docker inspect: {why}"))?;
        Ok(list[0].clone())
    }

    pub async fn start(&self) -> Result<(), String> {
        docker(&["start", &self.id]).await.map(|_| ())
    }

    pub async fn kill(&self) -> Result<(), String> {
        docker(&["kill", "--signal", "KILL", &self.id]).await?;
        docker(&["wait", &self.id]).await.map(|_| ())
    }

    pub async fn terminate(&self) -> Result<(), String> {
        docker(&["stop", "--time", "20", &self.id]).await?;
        match self.inspect().await?["State"]["ExitCode"].as_i64() {
            Some(0) => Ok(()),
            code => Err(format!("a stopped container ended with {code:?}")),
        }
    }

    pub async fn pause(&self) -> Result<(), String> {
        docker(&["pause", &self.id]).await.map(|_| ())
    }

    pub async fn resume(&self) -> Result<(), String> {
        docker(&["unpause", &self.id]).await.map(|_| ())
    }

    /// Panics in its log, and that the engine had to start it again: what the runner ends is not restarted.
    pub async fn defects(&self) -> Result<Vec<String>, String> {
        let output = Command::new("docker").args(["logs", &self.id]).output().await;
        let output = output.map_err(|why| format!("docker: {why}"))?;
        let log = [output.stdout, output.stderr].concat();
        let log = String::from_utf8_lossy(&log);
        let mut defects: Vec<String> =
            log.lines().filter(|line| line.contains("panicked at")).map(str::to_owned).collect();
        let restarts = self.inspect().await?["RestartCount"].as_i64().unwrap_or(0);
        if restarts > self.restarts {
            defects.push(format!("the container ended by itself {} times", restarts - self.restarts));
        }
        Ok(defects)
    }

    /// Its network namespace, while it runs.
    pub async fn space(&self) -> Result<Arc<OwnedFd>, String> {
        let pid = self.inspect().await?["State"]["Pid"].as_i64().filter(|pid| *pid > 0);
        let pid = pid.ok_or("the container does not run")?;
        let path = format!("/proc/{pid}/ns/net");
        let file = std::fs::File::open(&path).map_err(|why| format!("{path}: {why}; the runner must be root"))?;
        Ok(Arc::new(file.into()))
    }

    /// Its addresses, in all networks.
    pub async fn addresses(&self) -> Result<Vec<IpAddr>, String> {
        let about = self.inspect().await?;
        let networks = about["NetworkSettings"]["Networks"].as_object();
        let networks = networks.ok_or("a container without networks")?;
        Ok(networks.values().filter_map(|network| network["IPAddress"].as_str()?.parse().ok()).collect())
    }
}

async fn docker(arguments: &[&str]) -> Result<String, String> {
    finish("docker", Command::new("docker").args(arguments)).await
}

/// Either generation of compose.
async fn docker_compose(arguments: &[&str]) -> Result<String, String> {
    let second = Command::new("docker").args(["compose", "version"]).output().await;
    if second.is_ok_and(|output| output.status.success()) {
        finish("docker compose", Command::new("docker").arg("compose").args(arguments)).await
    } else {
        finish("docker-compose", Command::new("docker-compose").args(arguments)).await
    }
}

async fn finish(name: &str, command: &mut Command) -> Result<String, String> {
    let output = command.output().await.map_err(|why| format!("{name}: {why}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim()))
    }
}
